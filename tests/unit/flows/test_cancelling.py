"""SIGTERM cancels the task that runs, and leaves the handler of before."""

from __future__ import annotations

import asyncio
import os
import signal

import pytest

from flows.cancelling import cancelled_by_sigterm


async def test_sigterm_cancels_and_lets_the_end_be_awaited() -> None:
    begun, ended = asyncio.Event(), asyncio.Event()

    async def work() -> None:
        with cancelled_by_sigterm():
            try:
                begun.set()
                await asyncio.Event().wait()
            finally:
                await asyncio.sleep(0)
                ended.set()

    before = signal.getsignal(signal.SIGTERM)
    running = asyncio.create_task(work())
    await begun.wait()
    os.kill(os.getpid(), signal.SIGTERM)
    with pytest.raises(asyncio.CancelledError):
        await running
    assert ended.is_set()
    assert signal.getsignal(signal.SIGTERM) is before


async def test_elsewhere_than_in_a_main_thread_it_does_nothing() -> None:
    async def work() -> int:
        with cancelled_by_sigterm():
            return 1

    assert await asyncio.to_thread(lambda: asyncio.run(work())) == 1
