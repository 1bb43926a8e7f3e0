"""A program in the background: one of its kind, its log in a file, found again and stopped by its pid file."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import psutil

from infra.clients.errors import DeadlineExceeded, Failed

_STARTED: list[subprocess.Popen[bytes]] = []
"""Programs this process started: they outlive it, and are reaped here when they end before it does."""


@dataclass(frozen=True)
class Daemon:
    """One background program."""

    name: str
    folder: Path
    """Where its pid file and its log live."""

    @property
    def log(self) -> Path:
        """Its output."""
        return self.folder / "log" / f"{self.name}.log"

    @property
    def pid_file(self) -> Path:
        """Its pid and when that process began: a pid alone may since belong to a stranger."""
        return self.folder / f"{self.name}.pid"

    def process(self) -> psutil.Process | None:
        """The running process, if it is still the one that was started."""
        try:
            record = json.loads(self.pid_file.read_text())
            process = psutil.Process(record["pid"])
            alive = process.is_running() and process.status() != psutil.STATUS_ZOMBIE
            return process if alive and abs(process.create_time() - record["began"]) < 1 else None
        except (FileNotFoundError, psutil.NoSuchProcess, ValueError, KeyError, TypeError):
            return None

    def start(self, argv: Sequence[str], env: Mapping[str, str], cwd: Path) -> psutil.Process:
        """Start the program in a session of its own, unless it runs."""
        running = self.process()
        if running is not None:
            return running
        self.log.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        with os.fdopen(os.open(self.log, os.O_CREAT | os.O_WRONLY | os.O_APPEND, 0o600), "ab") as log:
            child = subprocess.Popen(
                argv,
                env=dict(env),
                cwd=cwd,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,  # what it keeps (Prefect's database, for one) is nobody else's business
            )
        _STARTED.append(child)
        process = psutil.Process(child.pid)
        with os.fdopen(os.open(self.pid_file, os.O_CREAT | os.O_WRONLY | os.O_TRUNC, 0o600), "w") as file:
            json.dump({"pid": process.pid, "began": process.create_time()}, file)
        return process

    def wait_ready(self, ready: Callable[[], bool], timeout: float) -> None:
        """Wait until `ready()`; raise with the log's end when the program ends first or takes too long."""
        deadline = time.monotonic() + timeout
        while not ready():
            if self.process() is None:
                raise Failed(f"{self.name} ended while it was starting; its log is {self.log}.", detail=self._tail())
            if time.monotonic() > deadline:
                raise DeadlineExceeded(
                    f"{self.name} is not ready after {timeout:g} s; its log is {self.log}.", detail=self._tail()
                )
            time.sleep(0.2)

    def stop(self, timeout: float = 20) -> bool:
        """Stop the program and all it started; True when there was one."""
        process = self.process()
        if process is None:
            self.pid_file.unlink(missing_ok=True)
            return False
        family = _family(process)
        _send(signal.SIGTERM, [process])
        _, left = psutil.wait_procs(family, timeout=timeout)
        _send(signal.SIGTERM, left)
        _, left = psutil.wait_procs(left, timeout=5)
        _send(signal.SIGKILL, left)
        psutil.wait_procs(left, timeout=5)
        for child in _STARTED:
            child.poll()
        self.pid_file.unlink(missing_ok=True)
        return True

    def _tail(self) -> str:
        try:
            return "\n".join(self.log.read_text(errors="replace").splitlines()[-8:])
        except FileNotFoundError:
            return ""


def _family(process: psutil.Process) -> list[psutil.Process]:
    try:
        return [process, *process.children(recursive=True)]
    except psutil.NoSuchProcess:
        return [process]


def _send(number: signal.Signals, processes: Sequence[psutil.Process]) -> None:
    for process in processes:
        # It may have ended since it was seen.
        with contextlib.suppress(psutil.NoSuchProcess):
            process.send_signal(number)
