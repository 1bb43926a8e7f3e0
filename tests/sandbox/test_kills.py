"""Runs that are killed or cancelled at the worst moments: the next one goes on, and nothing is there twice."""

from __future__ import annotations

import contextlib
import signal
import time
from collections.abc import Iterator

import psutil
import pytest

from tests.platform import Finished, Platform
from tests.sandbox.runs import BARE, NAMED, Running, away, children, exactly_one_of_each, helms, wait_gone
from tests.waiting import until

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(900)]

MAKING_CLUSTER = "Creating openstack_containerinfra_cluster_v1.cluster."
FLOW = "create_environment"


def stall(platform: Platform, method: str, path: str) -> None:
    """Have Magnum answer one request of the provider late, which else would end within the second."""
    platform.sandbox(
        *("faults", "set", "--service", "magnum", "--method", method, "--path", path),
        *("--kind", "stall", "--stall-seconds", "10", "--count", "1"),
    )


@pytest.fixture(autouse=True)
def no_faults(platform: Platform) -> Iterator[None]:
    yield
    platform.sandbox("faults", "clear")


def ready(finished: Finished) -> None:
    assert finished.status == 0, finished.log[-5000:]
    assert finished.result["state"] == "ready"
    assert set(finished.states.values()) == {"ready"}


def kill(processes: list[psutil.Process]) -> None:
    assert processes
    for process in processes:
        with contextlib.suppress(psutil.NoSuchProcess):
            process.kill()


def helm_writes(platform: Platform, seconds: float = 180) -> list[psutil.Process]:
    """Wait until helm has written its record of an unfinished revision, and return the helm."""
    known = len(platform.requests())

    def writing() -> list[psutil.Process]:
        made = [item for item in platform.requests()[known:] if "/secrets" in item["path"] and item["method"] == "POST"]
        return helms(platform) if made else []

    return until(writing, "helm's record", seconds, every=0.02)


def asked_for(platform: Platform, known: int) -> None:
    """Wait until Magnum has accepted a cluster's creation, after so many requests."""
    until(
        lambda: ("POST", "/v1/clusters") in [(one["method"], one["path"]) for one in platform.requests()[known:]],
        "the cluster's creation to be asked for",
        60,
        every=0.02,
    )


def test_a_run_killed_during_terraform_between_planes_and_during_helm_is_finished_by_the_next(
    platform: Platform,
) -> None:
    platform.declare("killed", **NAMED)
    stall(platform, "POST", "/clusters$")
    running = Running(platform, FLOW, "killed")
    running.until(MAKING_CLUSTER)
    running.kill()
    assert children(platform, "killed"), "terraform outlives its parent and writes its state"

    running = Running(platform, FLOW, "killed")
    running.until("Task run 'storage' - Finished")
    assert not any(MAKING_CLUSTER in line for line in running.lines), "the first terraform has made the cluster"
    running.kill()

    running = Running(platform, FLOW, "killed")
    helm = helm_writes(platform)
    running.kill()
    kill(helm)

    running = Running(platform, FLOW, "killed")
    ready(running.end())
    wait_gone(platform)
    exactly_one_of_each(platform, "killed", recordsets=1, releases=1)
    again = platform.flow(FLOW, "killed")
    ready(again)
    assert again.made == []
    away(platform, "killed")


def test_terraform_killed_together_with_its_run_loses_nothing(platform: Platform) -> None:
    platform.declare("torn", **NAMED)
    stall(platform, "GET", "/clusters/[0-9a-f-]{36}$")
    known = len(platform.requests())
    running = Running(platform, FLOW, "torn")
    running.until(MAKING_CLUSTER)
    # Magnum has the cluster, terraform's state does not.
    asked_for(platform, known)
    running.kill()
    kill(children(platform, "torn"))
    wait_gone(platform, "torn")

    # And a helm that outlives its run finishes its release itself.
    running = Running(platform, FLOW, "torn")
    helm_writes(platform)
    running.kill()
    ready(platform.flow(FLOW, "torn"))
    wait_gone(platform)
    exactly_one_of_each(platform, "torn", recordsets=1, releases=1)
    away(platform, "torn")


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT], ids=["TERM", "INT"])
def test_a_cancelled_run_lets_terraform_write_its_state_and_leaves_no_process(
    platform: Platform, number: signal.Signals
) -> None:
    name = f"cancelled-{number.name.removeprefix('SIG').lower()}"
    platform.declare(name, **BARE)
    stall(platform, "GET", "/clusters/[0-9a-f-]{36}$")
    known = len(platform.requests())
    # A shell has what it starts in the background ignore SIGINT, and children inherit that.
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        running = Running(platform, FLOW, name)
    finally:
        signal.signal(signal.SIGINT, before)
    running.until(MAKING_CLUSTER)
    # Before that, the provider gives up its own request, and knows no cluster.
    asked_for(platform, known)
    began = time.monotonic()
    running.process.send_signal(number)
    finished = running.end(60)
    assert children(platform, name) == []
    assert time.monotonic() - began < 30
    assert finished.status == 1
    assert finished.result["summary"] == "The run was cancelled."
    state = platform.home / "state/terraform" / name / "terraform.tfstate"
    assert "openstack_containerinfra_cluster_v1" in state.read_text()
    # What is half made can be finished, and it can be taken away.
    if number == signal.SIGTERM:
        ready(platform.flow(FLOW, name))
        exactly_one_of_each(platform, name)
    away(platform, name)
