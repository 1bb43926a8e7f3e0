"""What a Service asks of Octavia: names, tags and parts as cloud-provider-openstack has them. Pure.

Magnum finds a cluster's load balancers, and their floating IPs, by the descriptions (magnum.common.octavia).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from deployments.sandbox.controllers.kube.objects import key_of, labels
from deployments.sandbox.controllers.kube.resources import Obj
from deployments.sandbox.controllers.nodes import CONTROL_PLANE

LONGEST_NAME = 255
EXCLUDED = "node.kubernetes.io/exclude-from-external-load-balancers"


Change = tuple[str, str, Any]
"""One call that brings a load balancer nearer to what is wanted: method, path and body."""


def balancer_name(cluster: str, service: Obj) -> str:
    """The load balancer's name, which is its tag as well."""
    return _short("kube_service", cluster, *key_of(service))


def balancer_description(cluster: str, service: Obj) -> str:
    """By which the load balancer is known as the cluster's."""
    return f"Kubernetes external service {'/'.join(key_of(service))} from cluster {cluster}"


def group_name(service: Obj) -> str:
    """The name of the Service's security group."""
    return "-".join(("lb-sg", service["metadata"]["uid"], *key_of(service)))[:LONGEST_NAME]


def group_description(cluster: str, service: Obj) -> str:
    """By which the security group is known as the cluster's."""
    return f"Security Group for {'/'.join(key_of(service))} Service LoadBalancer in cluster {cluster}"


def address_description(cluster: str, service: Obj) -> str:
    """By which the floating IP is known as the cluster's."""
    return f"Floating IP for {balancer_description(cluster, service)}"


def describe(cluster: str, service: Obj, nodes: Iterable[Obj], subnet: str) -> Obj:
    """The load balancer for a Service, as one request of Octavia's makes it with all its parts."""
    name = balancer_name(cluster, service)
    servers = sorted(_servers(nodes).items())
    listeners = []
    for number, port in enumerate(service["spec"]["ports"]):
        protocol = port.get("protocol", "TCP")
        members = [
            {
                "name": _short("member", str(number), node),
                "address": address,
                "protocol_port": port["nodePort"],
                "subnet_id": subnet,
            }
            for node, address in servers
        ]
        pool = {"name": _short("pool", str(number), name), "protocol": protocol, "lb_algorithm": "ROUND_ROBIN"}
        listener = {"name": _short("listener", str(number), name), "protocol": protocol, "protocol_port": port["port"]}
        listeners.append(listener | {"default_pool": pool | {"members": members}})
    return {
        "name": name,
        "description": balancer_description(cluster, service),
        "tags": [name],
        "vip_subnet_id": subnet,
        "listeners": listeners,
    }


def next_change(balancer: str, wanted: Obj, listeners: list[Obj], pools: Mapping[str, list[Obj]]) -> Change | None:
    """The next call that makes the parts of a load balancer as wanted, None when they are.

    Args:
        balancer: its id.
        wanted: see `describe`.
        listeners: as Octavia lists them.
        pools: the members of each pool, by its id.
    """
    declared = {_key(each): each for each in wanted["listeners"]}
    there = {_key(each): each for each in listeners}
    for key in there.keys() - declared.keys():
        return "DELETE", f"/lbaas/listeners/{there[key]['id']}", None
    used = {each["default_pool_id"] for each in listeners}
    for pool in pools.keys() - used:
        return "DELETE", f"/lbaas/pools/{pool}", None
    for key in declared.keys() - there.keys():
        own = {name: value for name, value in declared[key].items() if name != "default_pool"}
        return "POST", "/lbaas/listeners", {"listener": own | {"loadbalancer_id": balancer}}
    for key, listener in declared.items():
        pool, wanted_pool = there[key]["default_pool_id"], dict(listener["default_pool"])
        members = wanted_pool.pop("members")
        if pool is None:
            return "POST", "/lbaas/pools", {"pool": wanted_pool | {"listener_id": there[key]["id"]}}
        if _addresses(pools.get(pool, [])) != _addresses(members):
            return "PUT", f"/lbaas/pools/{pool}/members", {"members": members}
    return None


def _servers(nodes: Iterable[Obj]) -> dict[str, str]:
    """The address of each node that takes part, by its name."""
    return {
        node["metadata"]["name"]: address["address"]
        for node in nodes
        if not labels(node).keys() & {CONTROL_PLANE, EXCLUDED}
        for address in (node.get("status") or {}).get("addresses") or []
        if address["type"] == "InternalIP"
    }


def _key(listener: Obj) -> tuple[str, int]:
    return listener["protocol"], listener["protocol_port"]


def _addresses(members: Iterable[Obj]) -> set[tuple[str, int]]:
    return {(member["address"], member["protocol_port"]) for member in members}


def _short(*parts: str) -> str:
    return "_".join(parts)[:LONGEST_NAME]
