"""Child programs: own process group, own output, a deadline, and a clean end on cancellation.

A child that shares our group dies without a signal it could catch when a flow run is cancelled, and one that
holds our stdout hides our own death from the Prefect worker; terraform then leaves a cluster outside its state.
So each child gets a session of its own, SIGINT first, a grace period to write its state, and SIGKILL last.

Where we ourselves are killed, the child goes on to its own end (docs/decisions/005). Its output therefore goes to
memory that both share and not to a pipe: terraform dies of SIGPIPE at its first line after the reader's death, before
it has written what it made into its state.
"""

from __future__ import annotations

import asyncio
import contextlib
import fcntl
import os
import signal
import tempfile
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import IO

from infra.clients.errors import DeadlineExceeded, Misconfigured
from infra.clients.stopwatch import waiting_for

LOOK = 0.05
"""Seconds between two looks at a child's output, for those who want its lines as they come."""


@dataclass(frozen=True)
class Completed:
    """How a child program ended."""

    argv: tuple[str, ...]
    returncode: int
    stdout: str
    stderr: str


async def run(
    argv: Sequence[str],
    *,
    env: Mapping[str, str],
    cwd: Path | None = None,
    timeout: float,
    grace: float = 30.0,
    on_line: Callable[[str], None] | None = None,
    umask: int = 0o077,
) -> Completed:
    """Run a program in a process group of its own and wait for it.

    Args:
        argv: program and arguments, never through a shell.
        env: its whole environment.
        timeout: seconds until it is interrupted.
        grace: seconds between SIGINT to the group and SIGKILL.
        on_line: called with each line of stdout as it comes.
        umask: of the child; what it writes is ours alone by default.

    Raises:
        Misconfigured: the program cannot be started.
        DeadlineExceeded: it ran longer than `timeout`, and has been ended.
        asyncio.CancelledError: we were cancelled; the child has been interrupted and waited for.
    """
    _hear_interrupts()
    with _shared() as stdout, _shared() as stderr:
        try:
            child = await asyncio.create_subprocess_exec(
                *argv,
                env=dict(env),
                cwd=cwd,
                stdin=asyncio.subprocess.DEVNULL,
                stdout=stdout,
                stderr=stderr,
                start_new_session=True,
                umask=umask,
            )
        except (FileNotFoundError, PermissionError) as error:
            raise Misconfigured(
                f"The program {argv[0]!r} cannot be started.", detail=str(error), hint="Is it installed and on PATH?"
            ) from error
        try:
            with waiting_for(Path(argv[0]).name):
                async with asyncio.timeout(timeout):
                    await _follow(child, stdout, on_line)
        except TimeoutError as error:
            raise DeadlineExceeded(
                f"{Path(argv[0]).name} did not end within {timeout:g} s and was stopped.",
                detail="\n".join(_text(stdout).splitlines()[-5:]),
            ) from error
        finally:
            # Shielded: a second cancellation must not leave a group behind that nobody waits for.
            await asyncio.shield(_end(child, grace))
        return Completed(tuple(argv), child.returncode or 0, _text(stdout), _text(stderr))


def _hear_interrupts() -> None:
    """Let children hear SIGINT where we ourselves do not.

    A shell starts its background jobs with SIGINT ignored, and that is inherited for good: terraform would never hear
    of a cancellation. A handler that does nothing is as deaf for us, and no child inherits it.
    """
    ignored = signal.getsignal(signal.SIGINT) is signal.SIG_IGN
    if ignored and threading.current_thread() is threading.main_thread():
        signal.signal(signal.SIGINT, lambda *_: None)


def _shared() -> IO[bytes]:
    """A file without a name, in memory where the system has that, for a child to write and us to read."""
    if hasattr(os, "memfd_create"):
        file: IO[bytes] = os.fdopen(os.memfd_create("plumbline-output"), "w+b", buffering=0)
    else:
        file = tempfile.TemporaryFile(buffering=0)  # noqa: SIM115 - the caller's `with` closes it
    # Appending, whoever of the group writes; we read by position and move nobody's.
    fcntl.fcntl(file, fcntl.F_SETFL, fcntl.fcntl(file, fcntl.F_GETFL) | os.O_APPEND)
    return file


async def _follow(child: asyncio.subprocess.Process, stdout: IO[bytes], on_line: Callable[[str], None] | None) -> None:
    """Wait for the child's end, and tell its lines meanwhile."""
    if on_line is None:
        await child.wait()
        return
    waiting, told = asyncio.ensure_future(child.wait()), 0
    try:
        while not waiting.done():
            await asyncio.wait({waiting}, timeout=LOOK)
            told = _tell(stdout, told, on_line, last=waiting.done())
        await waiting
    finally:
        waiting.cancel()


def _tell(stdout: IO[bytes], told: int, on_line: Callable[[str], None], *, last: bool) -> int:
    """Tell the whole lines after position `told`, or all that is left, and return the new position."""
    fresh = _bytes(stdout, told)
    whole = fresh if last else fresh[: fresh.rfind(b"\n") + 1]
    for line in whole.decode(errors="replace").splitlines():
        on_line(line)
    return told + len(whole)


def _text(file: IO[bytes]) -> str:
    return _bytes(file, 0).decode(errors="replace")


def _bytes(file: IO[bytes], start: int) -> bytes:
    return os.pread(file.fileno(), os.fstat(file.fileno()).st_size - start, start)


async def _end(child: asyncio.subprocess.Process, grace: float) -> None:
    """Leave no process of the group behind."""
    if child.returncode is None:
        _signal(child.pid, signal.SIGINT)
        try:
            async with asyncio.timeout(grace):
                await child.wait()
        except TimeoutError:
            _signal(child.pid, signal.SIGKILL)
            await child.wait()
    _signal(child.pid, signal.SIGKILL)


def _signal(group: int, number: signal.Signals) -> None:
    # The group is gone once its last process is: that is what we want.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
