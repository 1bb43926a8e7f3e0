"""The one wait: success, patience, failure, deadline."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, Failed, NotYet, Unavailable
from infra.clients.waiting import SystemClock, wait_until


def probe_of(*outcomes: Any) -> Any:
    queue = list(outcomes)

    async def probe() -> Any:
        outcome = queue.pop(0) if len(queue) > 1 else queue[0]
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    return probe


async def test_it_returns_what_the_probe_returned_and_tells_each_new_sentence(clock: Any) -> None:
    said: list[str] = []
    probe = probe_of(NotYet("one"), NotYet("one"), Unavailable("two", retry_after=5), "done")
    assert await wait_until(probe, describe="x", timeout=60, interval=2, progress=said.append, clock=clock) == "done"
    assert clock.slept == [2, 2, 5]
    assert said == ["one", "two (asking again)"]


async def test_a_failure_ends_the_wait_at_once(clock: Any) -> None:
    with pytest.raises(Failed):
        await wait_until(probe_of(Failed("broken")), describe="x", timeout=60, clock=clock)
    assert clock.slept == []


async def test_the_deadline_carries_the_last_words(clock: Any) -> None:
    with pytest.raises(DeadlineExceeded, match="still creating"):
        await wait_until(probe_of(NotYet("still creating")), describe="x", timeout=5, interval=2, clock=clock)
    assert clock.now <= 5


async def test_the_system_clock_moves() -> None:
    clock = SystemClock()
    before = clock.monotonic()
    await clock.sleep(0.001)
    assert clock.monotonic() > before
