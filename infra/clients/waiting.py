"""The one wait: an interval, a deadline, failure as a type, and a clock that tests replace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol, TypeVar

from infra.clients.errors import DeadlineExceeded, NotYet, Temporary
from infra.clients.stopwatch import waiting_for

T = TypeVar("T")


class Clock(Protocol):
    """Time as the wait sees it."""

    def monotonic(self) -> float:
        """Seconds on a clock that never goes back."""

    async def sleep(self, seconds: float) -> None:
        """Give way for `seconds`."""


class SystemClock:
    """The real clock."""

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)


async def wait_until(
    probe: Callable[[], Awaitable[T]],
    *,
    describe: str,
    timeout: float,
    interval: float = 1.0,
    progress: Callable[[str], None] | None = None,
    clock: Clock | None = None,
) -> T:
    """Call `probe` until it returns, and return what it returned.

    The probe raises `NotYet` (its sentence is the progress) or any other `Temporary` to be asked again, and a
    `Permanent` error to end the wait at once: a timeout is not a failure, and a failure is not waited for.

    Args:
        describe: what is waited for, as the object of "waiting for …".
        timeout: seconds until the wait gives up.
        interval: seconds between two looks; a `retry_after` of the error overrides it.
        progress: called with each new sentence, not with repetitions.

    Raises:
        DeadlineExceeded: with the last thing the probe said.
    """
    clock = clock or SystemClock()
    deadline = clock.monotonic() + timeout
    said = ""
    while True:
        try:
            return await probe()
        except Temporary as error:
            last = error
        if str(last) != said:
            said = str(last)
            if progress is not None:
                progress(said if isinstance(last, NotYet) else f"{said} (asking again)")
        pause = last.retry_after if last.retry_after is not None else interval
        if clock.monotonic() + pause > deadline:
            raise DeadlineExceeded(f"Gave up waiting for {describe} after {timeout:g} s.", detail=said) from last
        with waiting_for("readiness"):
            await clock.sleep(pause)
