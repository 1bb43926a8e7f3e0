"""What the cloud provider and the CSI driver ask of OpenStack, and what they make of its answers."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml
from aiohttp import web
from aiohttp.test_utils import TestServer

from deployments.sandbox.controllers import balancers, storage
from deployments.sandbox.controllers.cloud import CloudError, Project
from deployments.sandbox.controllers.kube.resources import Obj

UUID = "5d9f9a2c-0d0f-4c39-9d8e-0a4f1b2c3d4e"
"""The cluster's, by which the cloud knows it."""


def service(*ports: int, name: str = "web") -> Obj:
    listed = [{"name": f"p{port}", "port": port, "nodePort": 30000 + port % 1000} for port in ports]
    metadata = {"name": name, "namespace": "shop", "uid": "0f0f"}
    return {"metadata": metadata, "spec": {"type": "LoadBalancer", "ports": listed}}


def node(name: str, address: str, *labels: str) -> Obj:
    addresses = [{"type": "Hostname", "address": name}, {"type": "InternalIP", "address": address}]
    return {"metadata": {"name": name, "labels": dict.fromkeys(labels, "")}, "status": {"addresses": addresses}}


NODES = [
    node("m-0", "10.1.0.10", "node-role.kubernetes.io/control-plane"),
    node("w-1", "10.1.1.11"),
    node("w-0", "10.1.1.10"),
    node("gpu-0", "10.1.2.10", "node.kubernetes.io/exclude-from-external-load-balancers"),
]
MEMBERS = [("10.1.1.10", 30080), ("10.1.1.11", 30080)]


def test_a_load_balancer_is_named_and_marked_as_the_cloud_provider_does() -> None:
    wanted = balancers.describe(UUID, service(80), NODES, "subnet-1")
    name = f"kube_service_{UUID}_shop_web"
    assert (wanted["name"], wanted["tags"]) == (name, [name])
    assert wanted["description"] == f"Kubernetes external service shop/web from cluster {UUID}"
    (listener,) = wanted["listeners"]
    assert (listener["name"], listener["protocol"], listener["protocol_port"]) == (
        f"listener_0_{name}",
        "TCP",
        80,
    )
    members = listener["default_pool"]["members"]
    assert [(each["address"], each["protocol_port"]) for each in members] == MEMBERS
    assert {each["subnet_id"] for each in members} == {"subnet-1"}
    assert balancers.group_description(UUID, service(80)).endswith(f"Service LoadBalancer in cluster {UUID}")
    assert len(balancers.balancer_name(UUID, service(80, name="x" * 300))) == 255


def test_magnum_recognises_what_it_deletes_before_a_cluster() -> None:
    # The patterns of magnum.common.octavia and magnum.common.neutron.
    balancer, address = rf"Kubernetes .+ from cluster {UUID}", rf"Floating IP for Kubernetes .+ from cluster {UUID}$"
    assert re.match(balancer, balancers.describe(UUID, service(80), NODES, "subnet-1")["description"])
    assert re.match(address, balancers.address_description(UUID, service(80)))


def member(address: str, port: int) -> Obj:
    return {"address": address, "protocol_port": port}


def seen(port: int, pool: str | None) -> Obj:
    return {"id": f"l{port}", "protocol": "TCP", "protocol_port": port, "default_pool_id": pool}


@pytest.mark.parametrize(
    ("listeners", "pools", "call"),
    [
        ([seen(80, "p")], {"p": MEMBERS}, None),
        ([seen(80, "p"), seen(443, "q")], {"p": MEMBERS, "q": MEMBERS}, ("DELETE", "/lbaas/listeners/l443")),
        ([seen(80, "p")], {"p": MEMBERS, "q": []}, ("DELETE", "/lbaas/pools/q")),
        ([], {}, ("POST", "/lbaas/listeners")),
        ([seen(80, None)], {}, ("POST", "/lbaas/pools")),
        ([seen(80, "p")], {"p": MEMBERS[:1]}, ("PUT", "/lbaas/pools/p/members")),
        ([seen(80, "p")], {"p": [("10.1.1.10", 1), MEMBERS[1]]}, ("PUT", "/lbaas/pools/p/members")),
    ],
)
def test_parts_are_changed_one_call_at_a_time(
    listeners: list[Obj], pools: dict[str, list[tuple[str, int]]], call: tuple[str, str] | None
) -> None:
    wanted = balancers.describe(UUID, service(80), NODES, "subnet-1")
    there = {pool: [member(*each) for each in members] for pool, members in pools.items()}
    change = balancers.next_change("lb", wanted, listeners, there)
    assert (None if change is None else change[:2]) == call
    if change is not None and change[1] == "/lbaas/listeners":
        # Octavia makes a pool within a listener only together with the load balancer.
        assert "default_pool" not in change[2]["listener"]


CLAIM: Obj = {
    "metadata": {"name": "data", "namespace": "shop", "uid": "u1"},
    "spec": {"accessModes": ["ReadWriteOnce"], "resources": {"requests": {"storage": "1500Mi"}}},
}


def test_a_volume_is_named_and_marked_as_the_csi_driver_does() -> None:
    wanted = storage.request(UUID, CLAIM, {"parameters": {"type": "ssd", "availability": "az-2"}})
    assert (wanted["name"], wanted["size"], wanted["volume_type"], wanted["availability_zone"]) == (
        "pvc-u1",
        2,
        "ssd",
        "az-2",
    )
    assert wanted["metadata"]["cinder.csi.openstack.org/cluster"] == UUID
    plain = storage.request(UUID, CLAIM, {})
    assert (plain["availability_zone"], "volume_type" in plain) == ("nova", False)


@pytest.mark.parametrize(("policy", "kept"), [("Delete", True), ("Retain", False)])
def test_the_object_of_a_volume_outlives_it(policy: str, kept: bool) -> None:
    volume = {"id": "v1", "size": 2, "availability_zone": "nova"}
    made = storage.describe(CLAIM, {"metadata": {"name": "ssd"}, "reclaimPolicy": policy}, volume)
    assert (storage.FINALIZER in made["metadata"]["finalizers"]) is kept
    assert (made["spec"]["csi"]["volumeHandle"], made["spec"]["capacity"]) == ("v1", {"storage": "2Gi"})


class Services:
    """Keystone, and whatever else answers as it is told."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.agents: set[str] = set()

    async def handle(self, request: web.Request) -> web.Response:
        self.agents.add(request.headers["User-Agent"])
        if request.path.endswith("/auth/tokens"):
            endpoint = {"interface": "public", "region": "R", "url": f"http://{request.host}"}
            catalog = [
                {"type": kind, "endpoints": [endpoint]} for kind in ("network", "load-balancer", "block-storage")
            ]
            token = {"catalog": catalog, "expires_at": "2999-01-01T00:00:00.000000Z", "methods": ["password"]}
            return web.json_response({"token": token}, status=201, headers={"X-Subject-Token": "t"})
        if request.path == "/v3":  # keystoneauth asks which versions there are, and does without
            return web.Response(status=404)
        status, body = self.answers.pop(0)
        return web.json_response(body, status=status) if body is not None else web.Response(status=status)


async def test_answers_and_refusals_of_each_service(tmp_path: Path) -> None:
    services, app = Services(), web.Application()
    app.router.add_route("*", "/{path:.*}", services.handle)
    server = TestServer(app)
    await server.start_server()
    auth = {"auth_url": f"http://127.0.0.1:{server.port}/v3", "username": "u", "password": "p", "project_name": "p"}
    cloud = {"auth": auth | {"user_domain_id": "default", "project_domain_id": "default"}}
    (tmp_path / "clouds.yaml").write_text(yaml.safe_dump({"clouds": {"sandbox": cloud}}))
    project = Project.of(tmp_path / "clusters/one", tmp_path)
    try:
        services.answers = [(200, {"networks": []}), (204, None)]
        assert await project.call("GET", "network", "/networks", name="a") == {"networks": []}
        assert await project.call("DELETE", "network", "/networks/1") is None
        refusals: list[tuple[str, int, Any, str]] = [
            ("network", 409, {"NeutronError": {"message": "No more IP addresses"}}, "No more IP"),
            ("load-balancer", 400, {"faultstring": "has children"}, "has children"),
            ("block-storage", 400, {"badRequest": {"message": "zone is invalid"}}, "zone is invalid"),
            ("block-storage", 400, ["what"], "HTTP 400"),
        ]
        for kind, status, body, said in refusals:
            services.answers = [(status, body)]
            with pytest.raises(CloudError, match=said) as caught:
                await project.call("GET", kind, "/things")
            assert caught.value.status == status
    finally:
        await server.close()
    # Faults that are injected are for users, not for the sandbox's own parts.
    ours = {agent for agent in services.agents if agent.startswith("plumbline-sandbox/")}
    # The first question, which versions Keystone has, is keystoneauth's own.
    assert ours
    assert all("keystoneauth1/" in agent for agent in services.agents - ours)
    with pytest.raises(CloudError):
        await project.call("GET", "network", "/networks")
