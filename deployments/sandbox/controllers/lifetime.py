"""When a server process ends: at SIGTERM or SIGINT, or with the process it serves."""

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
