"""Drift in a living environment: found by a look that writes nothing, healed in one go, and never imagined."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Iterator
from typing import Any

import httpx
import pytest

from deployments.automations import RECONCILE_ON_DRIFT
from deployments.sandbox.settings import NAME_SERVERS
from tests.platform import Finished, Platform, writes
from tests.sandbox.cloud import ask, wait
from tests.waiting import until

pytestmark = [pytest.mark.sandbox, pytest.mark.timeout(600), pytest.mark.usefixtures("dev")]

CHECK, NAME = "check_drift", "dev"
WILDCARD = "*.dev.sandbox.example."


def kubectl(platform: Platform, *arguments: str, given: str | None = None) -> str:
    kubeconfig = platform.sandbox("kubeconfig", NAME)
    argv = ["kubectl", f"--kubeconfig={kubeconfig}", *arguments]
    return subprocess.run(argv, input=given, capture_output=True, text=True, check=True, timeout=60).stdout


def found(finished: Finished) -> dict[str, dict[str, Any]]:
    """The findings of a verdict, by address and path."""
    assert finished.result, finished.log[-3000:]
    verdict = finished.result.get("after") or finished.result
    return {one["address"] + one["path"]: one for plane in verdict["planes"] for one in plane["findings"]}


def blind(finished: Finished) -> list[str]:
    return [f"{spot['what']}: {spot['why']}" for plane in finished.result["planes"] for spot in plane["blind_spots"]]


@pytest.fixture(autouse=True)
def no_faults(platform: Platform) -> Iterator[None]:
    yield
    platform.sandbox("faults", "clear")


@pytest.fixture
def put_right(platform: Platform) -> Iterator[None]:
    """Whatever a test has broken, and not healed as it should have, is mended for the next."""
    yield
    mended = platform.flow("create_environment", NAME)
    assert mended.status == 0, mended.log[-3000:]


def test_what_is_as_declared_is_in_step_and_the_look_writes_nothing(platform: Platform) -> None:
    before = len(platform.requests())
    checked = platform.flow(CHECK, NAME)
    assert (checked.status, found(checked), blind(checked)) == (0, {}, []), checked.log[-3000:]
    assert {plane["state"] for plane in checked.result["planes"]} == {"in step"}
    assert len(checked.result["planes"]) == 7
    asked = platform.requests()[before:]
    assert {item["service"].split("/")[0] for item in asked} >= {"keystone", "magnum", "designate", "kubernetes"}
    assert writes(asked) == []
    with platform.api() as api:
        runs = api.post("flow_runs/filter", json={"sort": "START_TIME_DESC", "limit": 1}).json()
        tasks = api.post("task_runs/count", json={"flow_runs": {"id": {"any_": [runs[0]["id"]]}}}).json()
        assert tasks <= 10
        assert "dev: in step" in api.get("artifacts/verdict-dev/latest").json()["data"]


def sabotage(platform: Platform) -> None:
    """Six kinds of it."""
    kubectl(platform, "-n", "argocd", "delete", "deployment", "argocd-server", "--wait=false")
    kubectl(platform, "-n", "argocd", "patch", "configmap", "argocd-rbac-cm", "--type=merge", "-p",
            json.dumps({"data": {"policy.csv": "g, everybody, role:admin"}}))  # fmt: skip
    kubectl(platform, "delete", "clusterissuer", "sandbox", "--wait=false")
    platform.edit_recordset(WILDCARD, "192.0.2.66")
    fast = {
        "apiVersion": "storage.k8s.io/v1",
        "kind": "StorageClass",
        "metadata": {"name": "fast", "annotations": {"storageclass.kubernetes.io/is-default-class": "true"}},
        "provisioner": "cinder.csi.openstack.org",
    }
    kubectl(platform, "create", "-f", "-", given=json.dumps(fast))
    kubeconfig = platform.sandbox("kubeconfig", NAME)
    helm = ["helm", f"--kubeconfig={kubeconfig}", "-n", "arc-runners", "uninstall", "build"]
    subprocess.run(helm, capture_output=True, check=True, timeout=120)


SABOTAGED = {
    "Deployment/argocd/argocd-server": "destructive",
    "ConfigMap/argocd/argocd-rbac-cm": "config",
    "ClusterIssuer/sandbox": "destructive",
    f"recordset/{WILDCARD}": "security",
    "StorageClass/fast": "config",
    "release/arc-runners/build": "destructive",
}


@pytest.mark.usefixtures("put_right")
def test_six_kinds_of_sabotage_are_found_and_healed_in_one_go(platform: Platform) -> None:
    sabotage(platform)
    wait_for_name(platform, "192.0.2.66")
    checked = platform.flow(CHECK, NAME)
    assert checked.status == 2
    seen = {one["address"]: one for one in found(checked).values()}
    assert {where: seen[where]["severity"] for where in SABOTAGED if where in seen} == SABOTAGED
    preview = platform.flow("reconcile", NAME, "--mode", "preview")
    assert preview.status == 2
    assert preview.result["report"] is None
    assert {one["address"] for one in found(platform.flow(CHECK, NAME)).values()} >= set(SABOTAGED)

    healed = platform.flow("reconcile", NAME)
    assert healed.status == 0, healed.log[-4000:]
    assert healed.result["before"]["state"] == "drifted"
    assert (healed.result["after"]["state"], found(healed)) == ("in step", {})
    with platform.api() as api:
        assert "closed: `Deployment/argocd/argocd-server`" in api.get("artifacts/reconcile-dev/latest").json()["data"]

    before = len(platform.requests())
    again = platform.flow("reconcile", NAME)
    assert (again.status, again.result["report"]) == (0, None)
    assert writes(platform.requests()[before:]) == []
    history = platform.flow("drift_report", "--name", NAME)
    cleared = {one["address"]: one for one in history.result["onsets"] if one["cleared_at"]}
    assert set(SABOTAGED) <= set(cleared)


def wait_for_name(platform: Platform, address: str) -> None:
    def answers() -> list[tuple[str, list[str]]]:
        return [ask(host, platform.port("dns"), "x.dev.sandbox.example.") for host in NAME_SERVERS.values()]

    wait("the name", answers, [("NOERROR", [address])] * len(NAME_SERVERS))


@pytest.mark.parametrize("seed", ["1", "2"])
def test_a_fifth_of_the_reads_failing_makes_no_verdict_false(platform: Platform, seed: str) -> None:
    platform.sandbox("faults", "set", "--service", "*", "--rate", "0.2", "--seed", seed, "--method", "GET",
                     "--kind", "500", "--kind", "429", "--kind", "503", "--kind", "reset")  # fmt: skip
    checked = platform.flow(CHECK, NAME)
    assert found(checked) == {}
    states = {plane["state"] for plane in checked.result["planes"]}
    assert states <= {"in step", "unknown"}
    assert (checked.status == 0) == (states == {"in step"})


def test_the_canary_is_found_and_set_back(platform: Platform) -> None:
    checked = platform.flow(CHECK, NAME, "--canary")
    assert (checked.status, checked.result["stale"]) == (0, None), checked.log[-3000:]
    where = ("-n", "plumbline-system", "get", "configmap", "drift-canary")
    assert kubectl(platform, *where, "-o", "jsonpath={.data.song}") == "as declared"


def test_an_invalid_declaration_fails_its_own_check_alone_and_says_so_once(platform: Platform) -> None:
    platform.declare("hurt", cluster={"kubernetes": "latest"})
    try:
        for _ in range(2):
            swept = platform.flow("check_fleet")
            assert swept.status == 2
            assert [one["environment"] for one in swept.result["failed"]] == ["hurt"]
            assert {one["environment"]: one["state"] for one in swept.result["verdicts"]}["dev"] == "in step"
        with platform.api() as api:
            body = {"filter": {"event": {"name": ["plumbline.check.failed"]}, "occurred": {}}, "limit": 50}
            events = until(lambda: api.post("events/filter", json=body).json()["events"], "the event", 20)
            mine = [one for one in events if one["resource"]["prefect.resource.id"] == "plumbline.environment.hurt"]
            assert len(mine) == 1
            schedules = deployment(api, "check-drift")["schedules"]
            healing = deployment(api, "reconcile")["schedules"]
        assert {one["parameters"]["name"]: one["active"] for one in healing} == {"dev": False, "staging": False}
        plain = [one for one in schedules if len(one["parameters"]) == 1]
        every = {one["parameters"]["name"]: one["schedule"]["interval"] for one in plain}
        assert every == {"dev": 900.0, "staging": 1800.0}
    finally:
        platform.withdraw("hurt")


@pytest.mark.usefixtures("put_right")
def test_switched_on_the_automation_heals_what_a_check_through_the_api_finds(platform: Platform) -> None:
    with platform.api() as api:
        wanted = {"automations": {"name": {"any_": [RECONCILE_ON_DRIFT]}}}
        (automation,) = api.post("automations/filter", json=wanted).json()
        assert automation["enabled"] is False
        check, reconcile = (deployment(api, name)["id"] for name in ("check-drift", "reconcile"))

        api.patch(f"automations/{automation['id']}", json={"enabled": True}).raise_for_status()
        try:
            kubectl(platform, "delete", "clusterissuer", "sandbox")
            api.post(f"deployments/{check}/create_flow_run", json={"parameters": {"name": NAME}}).raise_for_status()
            healing = {"deployments": {"id": {"any_": [reconcile]}}, "sort": "START_TIME_DESC"}
            wait("a reconcile that is done", lambda: ends(api, healing), [({"name": NAME}, "Completed")], seconds=120)
        finally:
            api.patch(f"automations/{automation['id']}", json={"enabled": False}).raise_for_status()
    assert "sandbox" in kubectl(platform, "get", "clusterissuer", "-o", "name")


def deployment(api: httpx.Client, name: str) -> dict[str, Any]:
    found: dict[str, Any] = api.get(f"deployments/name/{name}/{name}").json()
    return found


def ends(api: httpx.Client, wanted: dict[str, Any]) -> list[tuple[dict[str, Any], str]]:
    return [(one["parameters"], one["state_name"]) for one in api.post("flow_runs/filter", json=wanted).json()]
