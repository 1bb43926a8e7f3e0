"""An environment from its making to its end, as users do it: by command, through the API, again, and away."""

from __future__ import annotations

import json
import socket
import subprocess
from typing import Any

import httpx
import psutil
import pytest

from deployments.follow import OVER, FlowRuns
from infra.clients.kubeconfig import READERS
from tests.platform import Finished, Platform, writes
from tests.waiting import until

pytestmark = pytest.mark.sandbox

PROGRAMS = {"etcd", "kube-apiserver", "kube-controller-manager", "kube-scheduler", "kwok"}
PLANES = {"cluster", "storage", "addons", "dns", "certificates", "delivery", "runners"}


def wait_over(api: httpx.Client, run_id: str, seconds: float = 600) -> dict[str, Any]:
    """Wait until a flow run has ended."""

    def ended() -> dict[str, Any] | None:
        run: dict[str, Any] = api.get(f"flow_runs/{run_id}").json()
        return run if run["state_type"] in OVER else None

    return until(ended, "the end of the flow run", seconds)


def programs(platform: Platform) -> set[str]:
    """Which of a control plane's programs run for this platform's clusters."""
    place = str(platform.home / "clusters")
    processes = psutil.process_iter(["name", "cmdline"])
    return {one.info["name"] for one in processes if place in " ".join(one.info["cmdline"] or [])} & PROGRAMS


def test_everything_that_is_declared_is_made_and_proved_ready(dev: Finished, platform: Platform) -> None:
    assert programs(platform) == PROGRAMS
    assert dev.result["state"] == "ready"
    assert set(dev.states.values()) == {"ready"}
    assert {step["plane"] for step in dev.result["steps"]} == PLANES
    made = " ".join(dev.made)
    for expected in ("keypair/plumbline-dev", "template/dev-", "cluster/dev", "nodegroup/dev/build",
                     "StorageClass/default", "release/cert-manager", "release/argocd",
                     "recordset/*.dev.", "ClusterIssuer/sandbox",
                     "Application/argocd/dev", "release/arc-runners/build"):  # fmt: skip
        assert expected in made


def test_the_run_is_a_graph_of_at_most_forty_tasks_with_side_by_side_add_ons(dev: Finished, platform: Platform) -> None:
    with platform.api() as api:
        runs = api.post("flow_runs/filter", json={"flow_runs": {"name": {"any_": ["create dev"]}}}).json()
        body = {"task_runs": {"flow_run_id": {"any_": [runs[0]["id"]]}}}
        tasks = {task["name"]: task for task in api.post("task_runs/filter", json=body).json()}
    assert len(tasks) <= 40

    def upstream(name: str) -> set[str]:
        by_id = {task["id"]: task["name"] for task in tasks.values()}
        return {by_id[item["id"]] for inputs in tasks[name]["task_inputs"].values() for item in inputs}

    assert upstream("nodes") == {"cluster"}
    assert upstream("argo-cd") == {"storage"}
    assert "cert-manager ready" in upstream("certificate")
    assert tasks["argo-cd"]["start_time"] < tasks["cert-manager"]["end_time"]
    assert tasks["cert-manager"]["start_time"] < tasks["argo-cd"]["end_time"]


@pytest.mark.usefixtures("dev")
@pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning")
@pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning")
def test_the_ingress_has_one_address_in_octavia_service_designate_and_on_the_socket(platform: Platform) -> None:
    asked = ["-n", "nginx-ingress", "get", "service", "nginx-ingress-controller", "-o", "json"]
    argv = ["kubectl", f"--kubeconfig={platform.sandbox('kubeconfig', 'dev')}", *asked]
    done = subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60)
    (point,) = json.loads(done.stdout)["status"]["loadBalancer"]["ingress"]
    with platform.connection() as cloud:
        (cluster,) = [one.uuid for one in cloud.container_infrastructure_management.clusters() if one.name == "dev"]
        name = f"kube_service_{cluster}_nginx-ingress_nginx-ingress-controller"
        balancer = cloud.load_balancer.find_load_balancer(name)
        (floating,) = cloud.network.ips(port_id=balancer.vip_port_id)
        zone = cloud.dns.find_zone("sandbox.example.")
        records = [one.records for one in cloud.dns.recordsets(zone) if one.name == "*.dev.sandbox.example."]
    assert (balancer.provisioning_status, balancer.operating_status) == ("ACTIVE", "ONLINE")
    assert balancer.description.endswith(f" from cluster {cluster}"), "Magnum finds it by that"
    assert (floating.floating_ip_address, floating.status, records) == (point["ip"], "ACTIVE", [[point["ip"]]])
    with socket.create_connection((point["ip"], 8443), timeout=10):
        pass


@pytest.mark.usefixtures("dev")
def test_a_second_run_writes_nothing_anywhere(platform: Platform) -> None:
    before = len(platform.requests())
    again = platform.flow("create_environment", "dev")
    assert again.status == 0, again.log[-3000:]
    requests = platform.requests()[before:]
    assert {item["service"].split("/")[0] for item in requests} >= {"keystone", "magnum", "designate", "kubernetes"}
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
    assert 30 < len(asked) < 100
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
def test_a_destruction_that_is_confirmed_with_another_name_deletes_nothing(platform: Platform) -> None:
    before = len(platform.requests())
    with platform.api() as api:
        run = wait_over(api, FlowRuns(api).start("destroy-environment", {"name": "dev", "confirm": "staging"}))
    assert run["state_type"] == "FAILED"
    assert "Nothing was deleted" in run["state"]["message"]
    by_hand = platform.flow("destroy_environment", "dev", "--confirm", "de")
    assert by_hand.status == 1
    assert writes(platform.requests()[before:]) == []


@pytest.mark.parametrize(
    ("parameters", "reason"),
    [
        ({}, "'name' is a required property"),
        ({"name": "Dev"}, "does not match"),
        ({"name": "dev", "commit": "HEAD"}, "does not match"),
        ({"name": "dev", "wait": True}, "Additional properties are not allowed"),
        ({"name": 7}, "is not of type 'string'"),
    ],
)
def test_parameters_that_cannot_be_right_start_no_run(
    platform: Platform, parameters: dict[str, Any], reason: str
) -> None:
    with platform.api() as api:
        deployment = api.get("deployments/name/create-environment/create-environment").json()
        count = api.post("flow_runs/count", json={}).json()
        answer = api.post(f"deployments/{deployment['id']}/create_flow_run", json={"parameters": parameters})
        assert answer.status_code == httpx.codes.CONFLICT
        assert reason in answer.json()["detail"]
        assert api.post("flow_runs/count", json={}).json() == count


def test_an_environment_that_is_not_declared_is_refused_with_what_is(platform: Platform) -> None:
    refused = platform.flow("create_environment", "deve")
    assert refused.status == 1
    assert refused.result["category"] == "NotFound"
    assert "dev" in refused.result["hint"]


def test_a_declaration_that_cannot_be_right_is_refused_before_the_first_write(platform: Platform) -> None:
    cluster = {"kubernetes": "v1.33.4", "image": "fedora-coreos", "sshPublicKey": "ssh-ed25519 AAAA",
               "masters": {"count": 2, "flavor": "m1.medium"},
               "nodes": {"count": 3, "flavour": "m1.large"}}  # fmt: skip
    platform.declare("broken", cluster=cluster)
    before = len(platform.requests())
    refused = platform.flow("create_environment", "broken")
    assert refused.status == 1
    said = refused.result["summary"] + (refused.result["detail"] or "")
    for path in ("spec.cluster.nodes.flavour", "spec.cluster.masters.count", "spec.cluster.sshPublicKey"):
        assert path in said
    assert writes(platform.requests()[before:]) == []
