"""The one wait: an interval, a deadline, failure as a type, and a clock that tests replace."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Protocol, TypeVar

from infra.clients.errors import DeadlineExceeded, NotYet, Temporary
from infra.clients.stopwatch import waiting_for

T = TypeVar("T")

FIRST_PAUSE = 0.2
"""Seconds between the first two looks: much of what is waited for comes true within the second."""
GROWTH = 1.5
"""By how much each further pause is longer, until it is the caller's interval."""


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


def pauses(interval: float) -> Iterator[float]:
    """Seconds between the looks of one wait: `FIRST_PAUSE`, then longer each time, then `interval` for ever (pure).

    Args:
        interval: seconds of the longest pause; the first is no longer than it either.
    """
    pause = FIRST_PAUSE
    while pause < interval:
        yield pause
        pause *= GROWTH
    while True:
        yield interval


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
        interval: seconds between two looks of a long wait. The first pauses are shorter (see `pauses`): a wait that
            ends soon does not take a whole interval, one of minutes costs a handful of looks more. A `retry_after` of
            the error overrides it.
        progress: called with each new sentence, not with repetitions.

    Raises:
        DeadlineExceeded: with the last thing the probe said.
    """
    clock = clock or SystemClock()
    deadline = clock.monotonic() + timeout
    growing = pauses(interval)
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
        pause = last.retry_after if last.retry_after is not None else next(growing)
        if clock.monotonic() + pause > deadline:
            raise DeadlineExceeded(f"Gave up waiting for {describe} after {timeout:g} s.", detail=said) from last
        with waiting_for("readiness"):
            await clock.sleep(pause)
