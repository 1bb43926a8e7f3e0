"""Requests: what is asked again, what is not, and waits."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.sandbox.provider.cloud import READ_ATTEMPTS, CloudError, Stopped
from deployments.sandbox.provider.waits import PASSING_ERRORS, SETTLE, Goal, WaitFailed, wait_for

GOAL = Goal("a thing", "DONE", ("BROKEN",))


def look(cloud: Any) -> Any:
    return lambda: cloud.request("s", "GET", "/x")


def test_a_read_is_asked_again_after_passing_errors(cloud: Any) -> None:
    cloud.expect("GET /x", 500)
    cloud.breaks("GET /x")
    cloud.expect("GET /x", 503)
    cloud.expect("GET /x", 200, {"a": 1})
    assert cloud.get("s", "/x", microversion="1.9") == {"a": 1}
    assert cloud.versions[0] == "s 1.9"


def test_a_read_gives_up(cloud: Any) -> None:
    for _ in range(READ_ATTEMPTS):
        cloud.expect("GET /x", 502, "bad gateway")
    with pytest.raises(CloudError, match=r"accessing \[GET http://cloud/v1\], but got 502 instead: bad gateway"):
        cloud.get("s", "/x")


@pytest.mark.parametrize("status", [400, 401, 403, 404, 409])
def test_a_lasting_error_is_not_asked_again(cloud: Any, status: int) -> None:
    cloud.expect("GET /x", status)
    with pytest.raises(CloudError) as caught:
        cloud.get("s", "/x")
    assert caught.value.status == status and not caught.value.passing


@pytest.mark.parametrize("status", [500, 503])
def test_a_write_that_may_have_happened_is_not_repeated(cloud: Any, status: int) -> None:
    cloud.expect("POST /x", status)
    with pytest.raises(CloudError):
        cloud.request("s", "POST", "/x", {})


def test_a_write_without_an_answer_is_not_repeated(cloud: Any) -> None:
    cloud.breaks("POST /x")
    with pytest.raises(CloudError, match="connection reset") as caught:
        cloud.request("s", "POST", "/x", {})
    assert caught.value.passing


def test_a_write_that_was_throttled_is_sent_again_when_asked(cloud: Any) -> None:
    cloud.expect("POST /x", 429, "", **{"Retry-After": "7"})
    cloud.expect("POST /x", 429, "", **{"Retry-After": "Wed, 21 Oct 2026 07:28:00 GMT"})
    cloud.expect("POST /x", 204)
    assert cloud.request("s", "POST", "/x", {}) is None
    assert cloud.now == 8


def test_a_write_that_never_left_is_sent_again(cloud: Any) -> None:
    cloud.unsent("POST /x", 503)
    cloud.expect("POST /x", 204)
    assert cloud.request("s", "POST", "/x", {}) is None
    cloud.unsent("POST /x", 401)
    with pytest.raises(CloudError, match="authenticating"):
        cloud.request("s", "POST", "/x", {})
    for _ in range(READ_ATTEMPTS):
        cloud.unsent("POST /x", 503)
    with pytest.raises(CloudError):
        cloud.request("s", "POST", "/x", {})


def test_a_pause_ends_when_terraform_asks_for_an_end(cloud: Any) -> None:
    cloud.expect("GET /x", 200, {"status": "BUSY"})
    cloud.stopping.set()
    with pytest.raises(Stopped, match="context canceled"):
        wait_for(cloud, look(cloud), GOAL, 60)


def test_a_wait_survives_what_is_odd_at_first(cloud: Any) -> None:
    cloud.expect("GET /x", 404)
    cloud.expect("GET /x", 400, "master_count Value: '0'")
    cloud.expect("GET /x", 500)
    cloud.expect("GET /x", 200, {"status": "BUSY"})
    cloud.expect("GET /x", 200, {"status": "DONE", "n": 1})
    assert wait_for(cloud, look(cloud), GOAL, 60) == {"status": "DONE", "n": 1}


def test_what_is_odd_later_is_an_error(cloud: Any) -> None:
    cloud.expect("GET /x", 200, {"status": "BUSY"})
    cloud.expect("GET /x", 404)
    with pytest.raises(CloudError):
        wait_for(cloud, look(cloud), GOAL, 60, poll=SETTLE)


def test_an_error_status_ends_the_wait_with_its_reason(cloud: Any) -> None:
    cloud.expect("GET /x", 200, {"status": "BROKEN", "status_reason": "no host"})
    with pytest.raises(WaitFailed, match="a thing is in an error state: BROKEN: no host"):
        wait_for(cloud, look(cloud), GOAL, 60)


def test_a_timeout_says_what_was_seen_last(cloud: Any) -> None:
    for _ in range(4):
        cloud.expect("GET /x", 200, {"status": "BUSY"})
    with pytest.raises(WaitFailed, match=r"become 'DONE' \(last state: 'BUSY', timeout: 25s\)"):
        wait_for(cloud, look(cloud), GOAL, 25, poll=10)


def test_a_server_that_only_fails_ends_the_wait(cloud: Any) -> None:
    for _ in range(PASSING_ERRORS):
        cloud.expect("GET /x", 500)
    with pytest.raises(CloudError):
        wait_for(cloud, look(cloud), GOAL, 600)


def test_an_old_status_is_not_taken_for_news_until_it_has_stood_long_enough(cloud: Any) -> None:
    goal = Goal("a thing", "DONE", ("BROKEN",), fresh=lambda document: document["at"] == 2)
    cloud.expect("GET /x", 200, {"status": "BROKEN", "at": 1})
    cloud.expect("GET /x", 200, {"status": "DONE", "at": 1})
    cloud.expect("GET /x", 200, {"status": "DONE", "at": 2})
    assert wait_for(cloud, look(cloud), goal, 600)["at"] == 2
    cloud.expect("GET /x", 200, {"status": "DONE", "at": 1})
    cloud.expect("GET /x", 200, {"status": "DONE", "at": 1})
    assert wait_for(cloud, look(cloud), goal, 600, poll=SETTLE)["at"] == 1


def test_gone_is_a_goal(cloud: Any) -> None:
    goal = Goal("a thing", "DELETED", ("ERROR",), gone=True)
    cloud.expect("GET /x", 200, {"status": "PENDING"})
    cloud.expect("GET /x", 404)
    assert wait_for(cloud, look(cloud), goal, 60) == {}
    cloud.expect("GET /x", 200, {"status": "DELETED"})
    assert wait_for(cloud, look(cloud), goal, 60) == {}
