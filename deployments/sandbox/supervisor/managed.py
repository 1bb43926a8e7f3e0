"""One child process: started, probed until it is ready, started again when it dies, ended with its whole group."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import signal
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

import psutil

from deployments.sandbox.controllers.lifetime import end_group, signal_group

LOG = logging.getLogger(__name__)

PROBE_SECONDS = 0.1
FIRST_PAUSE = 0.5
LONGEST_PAUSE = 30.0
SETTLED = 30.0
"""After so many seconds of readiness the next death is treated as the first."""

State = Literal["starting", "ready", "restarting", "stopped"]


@dataclass(frozen=True)
class Program:
    """What is run.

    Args:
        name: shown to people, and the name of its log.
        argv: program and arguments; no secrets, they can be read by everyone on the machine.
        env: its whole environment.
        log: file that gets its output.
        probe: whether it is ready; may raise OSError.
        cwd: its working folder.
        port: where it listens, to be shown.
    """

    name: str
    argv: Sequence[str]
    env: Mapping[str, str] = field(repr=False)
    log: Path
    probe: Callable[[], Awaitable[bool]]
    cwd: Path
    port: int | None = None


class Managed:
    """A program that is kept running.

    Args:
        grace: seconds between SIGTERM and SIGKILL.
        changed: called whenever its process or state changes.
    """

    def __init__(self, program: Program, *, grace: float, changed: Callable[[], None] = lambda: None) -> None:
        self.program = program
        self.state: State = "stopped"
        self.restarts = 0
        self.detail = ""
        self.ready = asyncio.Event()
        self._grace = grace
        self._changed = changed
        self._process: asyncio.subprocess.Process | None = None
        self._task: asyncio.Task[None] | None = None

    @property
    def pid(self) -> int | None:
        """Of the running process."""
        process = self._process
        return process.pid if process is not None and process.returncode is None else None

    def start(self) -> None:
        """Keep it running from now on."""
        if self._task is None:
            self._task = asyncio.create_task(self._keep(), name=self.program.name)

    async def stop(self) -> None:
        """End it, and wait until the whole process group is gone."""
        task, self._task = self._task, None
        if task is not None:
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        self._set("stopped")

    async def replace(self, program: Program) -> None:
        """End it and start another in its place."""
        await self.stop()
        self.program = program
        self.start()

    async def _keep(self) -> None:
        pause = FIRST_PAUSE
        loop = asyncio.get_running_loop()
        while True:
            since = loop.time()
            try:
                code = await self._once()
                self.detail = f"ended with {_describe(code)}"
            except OSError as error:
                self.detail = f"cannot be started: {error}"
            if loop.time() - since > SETTLED:
                pause = FIRST_PAUSE
            self.restarts += 1
            self._set("restarting")
            LOG.warning("%s %s; again in %.1f s. See %s", self.program.name, self.detail, pause, self.program.log)
            await asyncio.sleep(pause)
            pause = min(pause * 2, LONGEST_PAUSE)

    async def _once(self) -> int:
        """Run it to its end; on cancellation end it."""
        program = self.program
        with program.log.open("ab") as log:
            self._process = process = await asyncio.create_subprocess_exec(
                *program.argv,
                env=dict(program.env),
                cwd=program.cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=log,
                stderr=log,
                start_new_session=True,
                umask=0o077,
            )
        self._set("starting")
        probing = asyncio.create_task(self._until_ready())
        try:
            return await process.wait()
        finally:
            probing.cancel()
            # Shielded: a second cancellation must not leave a group behind that nobody waits for.
            await asyncio.shield(self._end(process))

    async def _until_ready(self) -> None:
        while True:
            with contextlib.suppress(OSError, TimeoutError):
                if await self.program.probe():
                    break
            await asyncio.sleep(PROBE_SECONDS)
        self.detail = ""
        self._set("ready")

    async def _end(self, process: asyncio.subprocess.Process) -> None:
        if not await end_group(process, self._grace):
            LOG.warning("%s did not end within %g s and was killed.", self.program.name, self._grace)

    def _set(self, state: State) -> None:
        self.state = state
        if state == "ready":
            self.ready.set()
        else:
            self.ready.clear()
        self._changed()


def _describe(code: int) -> str:
    return signal.Signals(-code).name if code < 0 else f"exit code {code}"


def identity(pid: int) -> float | None:
    """When a process started: with its number it cannot be mistaken for another one's."""
    try:
        return psutil.Process(pid).create_time()
    except psutil.NoSuchProcess:
        return None


def end_left_over(processes: Sequence[tuple[int, float]], *, grace: float) -> int:
    """End processes, and their groups, that a supervisor left behind when it was killed.

    Args:
        processes: number and start time of each.
        grace: seconds between SIGTERM and SIGKILL.

    Returns:
        How many there were.
    """
    alive = [psutil.Process(pid) for pid, created in processes if identity(pid) == created]
    for process in alive:
        signal_group(process.pid, signal.SIGTERM)
    psutil.wait_procs(alive, timeout=grace)
    for process in alive:
        signal_group(process.pid, signal.SIGKILL)
    return len(alive)
