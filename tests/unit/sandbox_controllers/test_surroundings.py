"""Nodes, volumes, pods' states, addresses, Ceph, GitHub, and when a program counts as running."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
from pathlib import Path

import aiohttp
import pytest
from aiohttp.test_utils import TestServer
from cryptography.hazmat.primitives.asymmetric import rsa

from deployments.sandbox.authority import make_github_app
from deployments.sandbox.controllers import jwt, x509
from deployments.sandbox.controllers.arc.registration import GitHubClient, Refused
from deployments.sandbox.controllers.ceph import ceph_status
from deployments.sandbox.controllers.features import Feature, flag, has_labels, runs_container
from deployments.sandbox.controllers.github import GitHub
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.resources import DEPLOYMENTS, Obj
from deployments.sandbox.controllers.lifetime import until_stopped
from deployments.sandbox.controllers.loadbalancers import wants_address
from deployments.sandbox.controllers.nodes import Inventory, describe
from deployments.sandbox.controllers.storage import refusal


def test_an_inventory_reads_a_changed_file_and_outlives_a_broken_one(tmp_path: Path) -> None:
    path = tmp_path / "cluster.json"
    inventory = Inventory(path)
    assert inventory.servers() == {}
    path.write_text(json.dumps({"version": "v1.33.4", "nodes": [{"name": "a"}]}))
    assert inventory.refresh()
    assert not inventory.refresh()
    path.write_text("{")
    os.utime(path, ns=(1, 1))
    assert not inventory.refresh()
    assert (set(inventory.servers()), inventory.version) == ({"a"}, "v1.33.4")


def test_a_master_is_tainted_and_has_its_flavors_capacity() -> None:
    server = {"name": "m", "role": "master", "nodegroup": "default-master", "address": "10.0.0.5", "flavor": "m1.small"}
    node = describe(server, "v1.34.2")
    assert node["spec"]["taints"][0]["key"] == "node-role.kubernetes.io/control-plane"
    assert node["status"]["capacity"]["cpu"] == "1"
    assert node["status"]["nodeInfo"]["kubeletVersion"] == "v1.34.2"
    assert "taints" not in describe({**server, "role": "worker"}, "v1.34.2")["spec"]


@pytest.mark.parametrize(
    ("storage_class", "said"),
    [
        ({}, None),
        ({"parameters": {"availability": "nova"}}, None),
        (
            {
                "allowedTopologies": [
                    {"matchLabelExpressions": [{"key": "topology.kubernetes.io/zone", "values": ["moon"]}]}
                ]
            },
            "no topology key",
        ),
        ({"allowedTopologies": [{"matchLabelExpressions": [{"key": "other", "values": ["moon"]}]}]}, None),
    ],
)
def test_only_one_zone_is_reached_from_nodes(storage_class: Obj, said: str | None) -> None:
    why = refusal(storage_class)
    assert (why is None) if said is None else (said in (why or ""))


def test_who_wants_an_address() -> None:
    assert wants_address({"metadata": {}, "spec": {"type": "LoadBalancer"}})
    assert not wants_address({"metadata": {}, "spec": {"type": "ClusterIP"}})
    assert not wants_address({"metadata": {}, "spec": {"type": "LoadBalancer", "loadBalancerClass": "other"}})


def worker(name: str) -> Obj:
    return {"metadata": {"name": name}, "status": {"conditions": [{"type": "Ready", "status": "True"}]}}


def test_ceph_wants_a_node_for_each_monitor() -> None:
    ceph: Obj = {"metadata": {"generation": 1}, "spec": {"mon": {"count": 3}}}
    few = ceph_status(ceph, [worker("a"), worker("b")])
    assert (few["phase"], few["ceph"]["health"]) == ("Progressing", "HEALTH_ERR")
    assert ceph_status(ceph, [worker("a"), worker("b"), worker("c")])["ceph"]["health"] == "HEALTH_OK"
    ceph["spec"]["mon"] = {"count": 3, "allowMultiplePerNode": True}
    assert ceph_status(ceph, [worker("a")])["phase"] == "Ready"


def workload(available: int, *arguments: str, **labels: str) -> Obj:
    container = {"name": "main", "args": list(arguments)}
    return {
        "kind": "Deployment",
        "metadata": {
            "name": "d",
            "namespace": "n",
            "uid": "u",
            "resourceVersion": str(available + 1),
            "labels": labels,
        },
        "spec": {"template": {"metadata": {}, "spec": {"containers": [container]}}},
        "status": {"availableReplicas": available},
    }


async def test_a_program_runs_while_its_workload_is_available() -> None:
    cluster = Cluster(None, name="c")  # type: ignore[arg-type]
    feature = Feature(cluster, runs_container("main"))
    other = Feature(cluster, has_labels(part_of="else"))
    changes: list[bool] = []
    feature.subscribe(lambda: changes.append(feature.on))
    informer = cluster.informer(DEPLOYMENTS)
    called: list[object] = []

    async def reconcile(key: object) -> None:
        called.append(key)

    gated = feature.gate(reconcile)
    await gated(("n", "x"))
    informer.note(workload(0))
    informer.note(workload(1, "--name=$(POD_NAMESPACE)/x", "-plain"))
    await gated(("n", "x"))
    assert (changes, feature.namespace, other.on, called) == ([True], "n", False, [("n", "x")])
    assert feature.workload is not None
    assert (flag(feature.workload, "name"), flag(feature.workload, "plain")) == ("n/x", None)
    informer._remove(workload(1))
    assert changes == [True, False]


@pytest.fixture
def secrets(tmp_path: Path) -> dict[str, str]:
    folder = tmp_path / "secrets/github-app"
    folder.mkdir(parents=True)
    make_github_app(folder)
    return {path.name: path.read_text() for path in folder.iterdir()}


async def test_github_takes_only_those_it_knows(tmp_path: Path, secrets: dict[str, str]) -> None:
    (tmp_path / "secrets/person").mkdir()
    (tmp_path / "secrets/person/github_token").write_text("ghp_1\n")
    async with TestServer(GitHub(tmp_path).app()) as server:
        client = GitHubClient(str(server.make_url("/")))
        identity = await client.register(secrets, "https://github.com/a/b", "build", "default")
        assert (
            await client.register({"github_token": "ghp_1"}, "https://github.com/a/b", "build", "default") == identity
        )
        assert await client.register(secrets, "https://github.com/a/b", "other", "default") == identity + 1
        stranger = {**secrets, "github_app_private_key": x509.key_pem(x509.generate_key("RSA", 1024)).decode()}
        for wrong, said in (
            (stranger, "401"),
            ({**secrets, "github_app_installation_id": "1"}, "404"),
            ({"github_token": "no"}, "401"),
            ({}, "neither github_token"),
            ({**secrets, "github_app_private_key": "x"}, "no private key"),
        ):
            with pytest.raises(Refused, match=said):
                await client.register(wrong, "https://github.com/a/b", "build", "default")
        await client.forget(secrets, identity)
        await client.forget(secrets, identity)
        assert [each["name"] for each in GitHub(tmp_path).registrations()] == ["other"]
        async with aiohttp.ClientSession() as session:
            headers = {"Authorization": "Bearer ghp_1"}
            for method, path, body, status in (
                ("POST", "/_apis/runtime/runnerscalesets", {"name": "x"}, 422),
                ("POST", "/_apis/runtime/runnerscalesets", {"name": "other", "url": "https://github.com/a/b"}, 409),
            ):
                async with session.request(method, server.make_url(path), json=body, headers=headers) as answer:
                    assert answer.status == status


def test_a_token_is_good_for_its_key_and_time_only() -> None:
    key, other = x509.generate_key("RSA"), x509.generate_key("RSA")
    assert isinstance(key, rsa.RSAPrivateKey)
    assert isinstance(other, rsa.RSAPrivateKey)
    token = jwt.sign("1", key, now=1000)
    assert jwt.verify(token, key.public_key(), now=1100)["iss"] == "1"
    for wrong, verifier, moment in ((token, other, 1100), (token, key, 9999), ("x", key, 1100)):
        with pytest.raises(ValueError):
            jwt.verify(wrong, verifier.public_key(), now=moment)


async def test_a_server_stops_at_a_signal_or_with_its_parent() -> None:
    async with until_stopped() as stopped:
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.wait_for(stopped.wait(), 2)
    with subprocess.Popen(["sleep", "60"]) as child:  # noqa: ASYNC220 - starting is all it does
        async with until_stopped(child.pid) as stopped:
            child.kill()
            await asyncio.wait_for(stopped.wait(), 2)
    with pytest.raises(ProcessLookupError):
        async with until_stopped(child.pid):
            pass
