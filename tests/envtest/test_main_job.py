"""The main job on the real control plane: an environment with everything is made, looked at again, and taken away."""

from __future__ import annotations

import subprocess
from collections.abc import Iterator

import psutil
import pytest

from infra.clients.kubeconfig import READERS
from tests.platform import Finished, Platform, running, writes

pytestmark = [
    pytest.mark.envtest,
    # The default is for tests that run alone on a machine.
    pytest.mark.timeout(900),
]

PROGRAMS = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
PLANES = {"cluster", "storage", "addons", "dns", "certificates", "delivery", "runners"}


@pytest.fixture(scope="module")
def platform(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Platform]:
    """A platform whose clusters run the real API server."""
    with running(tmp_path_factory.mktemp("main-job"), 1) as platform:
        yield platform


@pytest.fixture(scope="module")
def dev(platform: Platform) -> Finished:
    """Environment `dev`, created."""
    finished = platform.flow("create_environment", "dev")
    assert finished.status == 0, finished.log[-4000:]
    return finished


def programs(platform: Platform) -> set[str]:
    """Which of the real control plane's programs run for this platform's clusters."""
    place = str(platform.home / "clusters")
    processes = psutil.process_iter(["name", "cmdline"])
    return {one.info["name"] for one in processes if place in " ".join(one.info["cmdline"] or [])} & PROGRAMS


def test_everything_that_is_declared_is_made_and_proved_ready(platform: Platform, dev: Finished) -> None:
    assert programs(platform) == PROGRAMS
    assert dev.result["state"] == "ready"
    assert set(dev.states.values()) == {"ready"}
    assert {step["plane"] for step in dev.result["steps"]} == PLANES
    made = " ".join(dev.made)
    for expected in ("cluster/dev", "StorageClass/default", "release/cert-manager", "release/nginx-ingress",
                     "release/argocd", "release/arc-systems", "recordset/*.dev.", "ClusterIssuer/sandbox",
                     "Application/argocd/dev", "release/arc-runners/build"):  # fmt: skip
        assert expected in made


@pytest.mark.usefixtures("dev")
def test_a_second_run_writes_nothing_anywhere(platform: Platform) -> None:
    before = len(platform.requests())
    again = platform.flow("create_environment", "dev")
    assert again.status == 0, again.log[-3000:]
    requests = platform.requests()[before:]
    # Requests to the cluster have to be in there, or their silence proves nothing.
    asked = [item for item in requests if item["service"] == "kubernetes/dev" and item["ua"].startswith("plumbline/")]
    assert len(asked) > 30
    assert writes(requests) == []
    assert again.made == []


@pytest.mark.usefixtures("dev")
def test_a_group_that_may_only_read_sees_everything_in_step(platform: Platform) -> None:
    before = len(platform.requests())
    checked = platform.flow("check_drift", "dev")
    planes = {plane["plane"]: plane for plane in checked.result["planes"]}
    assert checked.status == 0, [(one["findings"], one["blind_spots"]) for one in planes.values()]
    assert set(planes) == PLANES
    requests = platform.requests()[before:]
    asked = [item for item in requests if item["service"] == "kubernetes/dev" and item["ua"].startswith("plumbline/")]
    assert {item["method"] for item in asked} == {"GET"}
    # One LIST a kind, whatever the number of objects.
    assert len(asked) < 100
    kubeconfig = platform.sandbox("kubeconfig", "dev")

    def may(*what: str) -> str:
        argv = ["kubectl", f"--kubeconfig={kubeconfig}", "auth", "can-i", *what, "-A", "--as=plumbline"]
        done = subprocess.run([*argv, f"--as-group={READERS}"], capture_output=True, text=True, timeout=60, check=False)
        return done.stdout.strip()

    assert [may(verb, "deployments.apps") for verb in ("get", "list", "create", "patch", "delete")] == [
        *("no", "yes", "no", "no", "no")
    ]
    assert [may(verb, "secrets") for verb in ("list", "update")] == ["yes", "no"]
    assert may("impersonate", "users") == "no"


@pytest.mark.usefixtures("dev")
def test_it_is_destroyed_without_a_trace(platform: Platform) -> None:
    gone = platform.flow("destroy_environment", "dev", "--confirm", "dev")
    assert gone.status == 0, gone.log[-3000:]
    assert gone.result["state"] == "removed"
    assert platform.leftovers("dev") == []
    assert programs(platform) == set()
