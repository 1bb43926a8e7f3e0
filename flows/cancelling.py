"""SIGTERM as a cancellation: what runs is cancelled and waited for, instead of thrown out of the event loop.

Prefect answers SIGTERM with an exception at whatever line the process happens to be: in the event loop itself, which
then ends under a terraform that is still to be interrupted, or in a coroutine of ours, which takes it for its failure.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
import threading
from collections.abc import Iterator


@contextlib.contextmanager
def cancelled_by_sigterm() -> Iterator[None]:
    """Let SIGTERM cancel the current asyncio task for as long as the block lasts; in a main thread only.

    Prefect recognises the cancellation it asked for, and calls any other a crash.
    """
    task = asyncio.current_task()
    if task is None or threading.current_thread() is not threading.main_thread():
        yield
        return
    loop, before = asyncio.get_running_loop(), signal.getsignal(signal.SIGTERM)
    loop.add_signal_handler(signal.SIGTERM, task.cancel)
    try:
        yield
    finally:
        loop.remove_signal_handler(signal.SIGTERM)
        signal.signal(signal.SIGTERM, before)
