"""Child programs: own process group, own pipes, a deadline, and a clean end on cancellation.

A child that shares our group dies without a signal it could catch when a flow run is cancelled, and one that
holds our stdout hides our own death from the Prefect worker; terraform then leaves a cluster outside its state.
So each child gets a session of its own, SIGINT first, a grace period to write its state, and SIGKILL last.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from infra.clients.errors import DeadlineExceeded, Misconfigured
from infra.clients.stopwatch import waiting_for

LINE_LIMIT = 4 * 1024 * 1024
"""Bytes a single line of output may have; terraform prints whole plans on one."""


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
    try:
        child = await asyncio.create_subprocess_exec(
            *argv,
            env=dict(env),
            cwd=cwd,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
            start_new_session=True,
            umask=umask,
            limit=LINE_LIMIT,
        )
    except (FileNotFoundError, PermissionError) as error:
        raise Misconfigured(
            f"The program {argv[0]!r} cannot be started.", detail=str(error), hint="Is it installed and on PATH?"
        ) from error
    lines: list[str] = []
    readers = asyncio.gather(_lines(child.stdout, lines, on_line), _all(child.stderr))
    try:
        with waiting_for(Path(argv[0]).name):
            async with asyncio.timeout(timeout):
                _, stderr = await asyncio.shield(readers)
                await child.wait()
    except TimeoutError as error:
        raise DeadlineExceeded(
            f"{Path(argv[0]).name} did not end within {timeout:g} s and was stopped.", detail="".join(lines[-5:])
        ) from error
    finally:
        # Shielded: a second cancellation must not leave a group behind that nobody waits for.
        await asyncio.shield(_end(child, readers, grace))
    return Completed(tuple(argv), child.returncode or 0, "".join(lines), stderr)


async def _end(child: asyncio.subprocess.Process, readers: asyncio.Future[tuple[None, str]], grace: float) -> None:
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
    if not readers.done():
        readers.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await readers


def _signal(group: int, number: signal.Signals) -> None:
    # The group is gone once its last process is: that is what we want.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)


async def _lines(stream: asyncio.StreamReader | None, kept: list[str], on_line: Callable[[str], None] | None) -> None:
    if stream is None:
        return
    async for raw in stream:
        line = raw.decode(errors="replace")
        kept.append(line)
        if on_line is not None:
            on_line(line.rstrip("\n"))


async def _all(stream: asyncio.StreamReader | None) -> str:
    return "" if stream is None else (await stream.read()).decode(errors="replace")
