"""When a server process ends: at SIGTERM or SIGINT, or with the process it serves; and how one that we started does."""

from __future__ import annotations

import asyncio
import contextlib
import os
import signal
from collections.abc import AsyncIterator


@contextlib.asynccontextmanager
async def until_stopped(parent: int | None = None) -> AsyncIterator[asyncio.Event]:
    """An event that is set at SIGTERM or SIGINT, and at the end of process `parent` where one is given.

    Raises:
        ProcessLookupError: there is no process `parent`.
    """
    loop = asyncio.get_running_loop()
    stopped = asyncio.Event()
    with contextlib.ExitStack() as undo:
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, stopped.set)
            undo.callback(loop.remove_signal_handler, number)
        if parent is not None:
            # A pidfd becomes readable when the process ends; no polling, and no mistaking a reused number.
            descriptor = os.pidfd_open(parent)
            undo.callback(os.close, descriptor)
            loop.add_reader(descriptor, _ended, loop, descriptor, stopped)
            undo.callback(loop.remove_reader, descriptor)
        yield stopped


def _ended(loop: asyncio.AbstractEventLoop, descriptor: int, stopped: asyncio.Event) -> None:
    loop.remove_reader(descriptor)
    stopped.set()


async def end_group(process: asyncio.subprocess.Process, grace: float) -> bool:
    """End a process that leads a group, and the group with it; returns whether it ended by itself in time.

    Args:
        grace: seconds between SIGTERM and SIGKILL.
    """
    signal_group(process.pid, signal.SIGTERM)
    try:
        async with asyncio.timeout(grace):
            await process.wait()
    except TimeoutError:
        return False
    finally:
        signal_group(process.pid, signal.SIGKILL)
        await process.wait()
    return True


def signal_group(group: int, number: signal.Signals) -> None:
    """Send a signal to a process group."""
    # The group is gone once its last process is: that is what we want.
    with contextlib.suppress(ProcessLookupError):
        os.killpg(group, number)
