"""A look at what lives only for a moment: programs' arguments, keys in private folders, plans."""

from __future__ import annotations

import threading
import time
from pathlib import Path
from types import TracebackType
from typing import Self

import psutil

from tests.leaks import everything

PAUSE = 0.05
"""Seconds between two looks."""
DISCOVERY = "/.kube/cache/"
"""Where helm keeps which kinds an API server has; it gives those files a mode of its own, in a folder of ours alone."""
SETTLED = 1.0
"""Seconds after which a process has become the program it was started as."""


class Watcher:
    """Samples every process's arguments, and the files of a state folder, in a thread of its own.

    Args:
        state: Plumbline's state folder.
    """

    def __init__(self, state: Path) -> None:
        self._state = state
        self._end = threading.Event()
        self._thread = threading.Thread(target=self._run, name="watcher", daemon=True)
        self._first_seen: dict[int, float] = {}
        self.arguments: set[tuple[str, ...]] = set()
        """The argument list of every process that was seen."""
        self.keys: set[str] = set()
        """Every private key that was seen in a file outside Terraform's state."""
        self.open_files: set[str] = set()
        """Files of ours that others could have read, however short they lived."""
        self.seen: set[str] = set()
        """Every file that was seen, relative to the state folder."""

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end.set()
        self._thread.join(timeout=30)

    def _run(self) -> None:
        took = 0.0
        # Not more than a third of a core: what is looked at lives for seconds, and others have work to do.
        while not self._end.wait(max(PAUSE, 2 * took)):
            began = time.thread_time()
            self._look_at_processes()
            self._look_at_files()
            took = time.thread_time() - began

    def _look_at_processes(self) -> None:
        now = time.monotonic()
        alive = psutil.pids()
        self._first_seen = {pid: self._first_seen.get(pid, now) for pid in alive}
        for pid, since in self._first_seen.items():
            # A process that was just forked still shows its parent's arguments.
            if now - since <= SETTLED:
                try:
                    self.arguments.add(tuple(psutil.Process(pid).cmdline()))
                except psutil.Error:
                    continue

    def _look_at_files(self) -> None:
        for part in ("private", "terraform"):
            for path in everything(self._state / part):
                try:
                    mode = path.stat().st_mode
                    relative = str(path.relative_to(self._state))
                    if mode & 0o077 and path.name != ".terraform.lock.hcl" and DISCOVERY not in relative:
                        self.open_files.add(f"{mode & 0o7777:04o} {relative}")
                    if relative not in self.seen and path.is_file():
                        content = path.read_bytes()
                        if path.suffix == ".key" and content.rstrip().endswith(b"-----"):
                            self.keys.add(content.decode())
                        elif path.suffix == ".key":
                            continue  # half written: looked at once more
                        self.seen.add(relative)
                except (FileNotFoundError, NotADirectoryError):
                    continue
