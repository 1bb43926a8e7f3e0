"""An environment is made although every tenth request fails; and one that cannot be made says why, in bounded time."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import pytest

from tests.platform import Platform, writes
from tests.sandbox.runs import NAMED, NOTHING, SMALL, away, exactly_one_of_each

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(1200)]

FLOW = "create_environment"
CAUSE = "Quota exceeded for instances: requested 2, but already used 10 of 10."


@contextmanager
def faults(platform: Platform, *arguments: str) -> Iterator[None]:
    platform.sandbox("faults", "set", *arguments)
    try:
        yield
    finally:
        platform.sandbox("faults", "clear")


def test_an_environment_is_made_although_every_tenth_request_fails(platform: Platform) -> None:
    platform.declare("stormy", **NAMED)
    before = len(platform.requests())
    with faults(platform, "--service", "*", "--rate", "0.1"):
        made = platform.flow(FLOW, "stormy", timeout=900)
    struck = Counter(
        item["status"] for item in platform.requests()[before:] if not item["ua"].startswith("plumbline-sandbox")
    )
    assert made.status == 0, made.log[-6000:]
    assert set(made.states.values()) == {"ready"}
    assert all(struck[status] for status in (0, 429, 500, 503)), struck
    exactly_one_of_each(platform, "stormy", recordsets=1, releases=1)
    again = platform.flow(FLOW, "stormy")
    assert again.status == 0, again.log[-3000:]
    assert again.made == []
    away(platform, "stormy")


def test_a_cluster_that_fails_then_hangs_ends_each_run_in_time_and_the_next_makes_it(platform: Platform) -> None:
    """Next to nothing is declared on it."""
    platform.declare("doomed", cluster=SMALL, **NOTHING)
    began = time.monotonic()
    with faults(platform, "--cluster", "doomed", "--create", "fail", "--reason", CAUSE):
        failed = platform.flow(FLOW, "doomed")
    assert time.monotonic() - began < 90
    assert (failed.status, failed.result["category"]) == (1, "Failed")
    assert "CREATE_FAILED" in failed.result["summary"]
    assert CAUSE in failed.result["summary"]
    report = artifact(platform, "doomed")
    assert CAUSE in report
    assert "## What to do" in report

    began = time.monotonic()
    with faults(platform, "--cluster", "doomed", "--create", "hang"):
        stuck = platform.flow(FLOW, "doomed", PLUMBLINE_CLUSTER_TIMEOUT="1")
    assert time.monotonic() - began < 150
    assert (stuck.status, stuck.result["category"]) == (1, "DeadlineExceeded")
    assert "CREATE_IN_PROGRESS" in stuck.result["summary"]
    report = artifact(platform, "doomed")
    assert "DeadlineExceeded" in report
    assert "Magnum" in report.split("## What to do")[1]

    made = platform.flow(FLOW, "doomed")
    assert made.status == 0, made.log[-4000:]
    assert set(made.states) == {"prerequisites", "cluster", "nodes", "access", "storage", "storage ready"}
    exactly_one_of_each(platform, "doomed")
    before = len(platform.requests())
    again = platform.flow(FLOW, "doomed")
    assert (again.status, again.made, writes(platform.requests()[before:])) == (0, [], [])
    away(platform, "doomed")


def artifact(platform: Platform, name: str) -> str:
    with platform.api() as api:
        return str(api.get(f"artifacts/environment-{name}/latest").json()["data"])
