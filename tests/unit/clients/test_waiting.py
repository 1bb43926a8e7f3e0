"""The one wait: success, patience, failure, deadline."""

from __future__ import annotations

from itertools import islice
from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, Failed, NotYet, Unavailable
from infra.clients.waiting import FIRST_PAUSE, SystemClock, pauses, wait_until


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
    probe = probe_of(NotYet("one"), NotYet("one"), Unavailable("two", retry_after=5), NotYet("three"), "done")
    assert await wait_until(probe, describe="x", timeout=60, interval=2, progress=said.append, clock=clock) == "done"
    assert clock.slept == pytest.approx([0.2, 0.3, 5, 0.45])
    assert said == ["one", "two (asking again)", "three"]


async def test_pauses_begin_short_and_grow_to_the_interval(clock: Any) -> None:
    probe = probe_of(*[NotYet("creating")] * 9, "done")
    await wait_until(probe, describe="x", timeout=60, interval=2, clock=clock)
    assert clock.slept == pytest.approx([0.2, 0.3, 0.45, 0.675, 1.0125, 1.51875, 2, 2, 2])
    # However long the wait is, the looks before the interval is reached are few.
    assert len([pause for pause in islice(pauses(60), 100) if pause < 60]) < 16


@pytest.mark.parametrize("interval", [0.05, FIRST_PAUSE])
async def test_an_interval_shorter_than_the_first_pause_is_kept(interval: float) -> None:
    assert list(islice(pauses(interval), 3)) == [interval] * 3


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
