"""The table from status to error, Retry-After, and what is tried again."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.calling import LONGEST_PAUSE, Caller, error_for, retried, retry_after
from infra.clients.errors import Conflict, Denied, InvalidInput, Misconfigured, NotFound, Throttled, Unavailable


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, InvalidInput), (401, Denied), (403, Denied), (404, NotFound), (406, Misconfigured), (408, Unavailable),
        (409, Conflict), (410, NotFound), (412, Conflict), (422, InvalidInput), (429, Throttled), (500, Unavailable),
        (501, Misconfigured), (503, Unavailable), (599, Unavailable), (302, Unavailable),
    ],
)  # fmt: skip
def test_status_to_error(status: int, kind: type[Exception]) -> None:
    assert type(error_for(status, "x", retry_after=3)) is kind


def test_retry_after_as_seconds_and_as_date() -> None:
    assert retry_after({"Retry-After": "7"}) == 7
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1445412470.0) == 10
    assert retry_after({"Retry-After": "Wed, 21 Oct 2015 07:28:00 GMT"}, now=1545412470.0) == 0
    assert retry_after({"Retry-After": "soon"}) is None
    assert retry_after({}) is None


class Flaky:
    """Fails with the given errors, then answers."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.calls = 0

    def __call__(self) -> str:
        self.calls += 1
        if self.errors:
            raise self.errors.pop(0)
        return "answer"


async def test_a_read_outlives_a_blip_with_growing_pauses(clock: Any) -> None:
    flaky = Flaky(Unavailable("a"), Unavailable("b"), Throttled("c", retry_after=3))
    caller = Caller("test", clock=clock)
    assert await caller.read(flaky) == "answer"
    assert clock.slept[2] == 3
    assert 0.125 <= clock.slept[0] <= 0.25 <= clock.slept[1] <= 0.5
    caller.close()


async def test_a_read_gives_up_and_raises_the_last_error(clock: Any) -> None:
    flaky = Flaky(*(Unavailable(str(number)) for number in range(9)))
    caller = Caller("test", clock=clock, attempts=3)
    with pytest.raises(Unavailable, match="2"):
        await caller.read(flaky)
    assert flaky.calls == 3
    caller.close()


async def test_a_write_is_repeated_only_when_the_server_refused_to_begin(clock: Any) -> None:
    caller = Caller("test", clock=clock)
    refused, lost = Flaky(Throttled("later", retry_after=1)), Flaky(Unavailable("who knows"))
    assert await caller.write(refused) == "answer"
    with pytest.raises(Unavailable):
        await caller.write(lost)
    assert (refused.calls, lost.calls) == (2, 1)
    caller.close()


async def test_a_server_that_asks_for_long_patience_is_left_to_the_caller(clock: Any) -> None:
    flaky = Flaky(Throttled("later", retry_after=LONGEST_PAUSE + 1))
    caller = Caller("test", clock=clock)
    with pytest.raises(Throttled) as caught:
        await caller.read(flaky)
    assert caught.value.retry_after == LONGEST_PAUSE + 1
    assert clock.slept == []
    caller.close()


async def test_a_permanent_error_is_not_tried_again(clock: Any) -> None:
    calls = 0

    async def denied() -> None:
        nonlocal calls
        calls += 1
        raise Denied("no")

    with pytest.raises(Denied):
        await retried(denied, clock=clock)
    assert calls == 1
