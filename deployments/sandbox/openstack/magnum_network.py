"""The network a cluster stands in: the one its template names, or one of its own with a router to the outside."""

from __future__ import annotations

import threading
import zlib
from typing import Any

from keystoneauth1 import exceptions
from magnum.common import context as magnum_context
from magnum.common import keystone

from deployments.sandbox.openstack.faults import EXEMPT

AGENT = f"{EXEMPT}magnum-driver"
"""Injected faults are for users: a driver that met one would fail the cluster for good."""
NETWORK = {"service_type": "network", "interface": "public"}


class NetworkError(Exception):
    """The network cannot be had, or cannot go: the message says why."""


class Networks:
    """The networks of all clusters, made and removed as Magnum's service user for the clusters' projects."""

    def __init__(self) -> None:
        self._known: dict[str, dict[str, str]] = {}
        self._one_at_a_time = threading.Lock()
        self._session: Any = None

    def ensure(self, cluster: Any) -> dict[str, str]:
        """Have the cluster's network; returns its ids: network_id, subnet_id and external_network_id.

        Raises:
            NetworkError: the template names one that is not there.
            keystoneauth1.exceptions.ClientException: Neutron refuses, or does not answer.
        """
        with self._one_at_a_time:
            if cluster.uuid not in self._known:
                asked = cluster.cluster_template.external_network_id
                external = self._named("networks", asked, **{"router:external": True})
                found = self._given(cluster) if cluster.fixed_network else self._own(cluster, external["id"])
                self._known[cluster.uuid] = found | {"external_network_id": external["id"]}
            return self._known[cluster.uuid]

    def remove(self, cluster: Any) -> None:
        """Remove what was made for the cluster; a network that its template named stays.

        Raises:
            NetworkError: something of somebody else is in it, such as a load balancer.
            keystoneauth1.exceptions.ClientException: Neutron does not answer.
        """
        try:
            for router in self._list("routers", description=_mark(cluster)):
                ports = self._list("ports", device_id=router["id"], device_owner="network:router_interface")
                for subnet in {ip["subnet_id"] for port in ports for ip in port["fixed_ips"]}:
                    self._call("PUT", f"routers/{router['id']}/remove_router_interface", {"subnet_id": subnet})
                self._call("DELETE", f"routers/{router['id']}")
            for kind in ("networks", "security-groups"):
                for item in self._list(kind, description=_mark(cluster)):
                    self._call("DELETE", f"{kind}/{item['id']}")
        except exceptions.Conflict as error:
            raise NetworkError(f"The cluster's network is in use: {error.message}") from error
        self._known.pop(cluster.uuid, None)

    def _given(self, cluster: Any) -> dict[str, str]:
        network = self._named("networks", cluster.fixed_network)
        subnet = self._named("subnets", cluster.fixed_subnet, network_id=network["id"])
        return {"network_id": network["id"], "subnet_id": subnet["id"]}

    def _own(self, cluster: Any, external: str) -> dict[str, str]:
        """Network, subnet, router and security group; what an earlier attempt has made is taken."""
        network = self._made(cluster, "networks", "network", {})
        # Of the addresses of magnum_nodes, which begin at .10, no port is made: they stay out of Neutron's pool.
        second = zlib.crc32(cluster.uuid.encode()) % 256
        pool = {"start": f"10.{second}.254.1", "end": f"10.{second}.255.254"}
        where = {
            "network_id": network["id"],
            "ip_version": 4,
            "cidr": f"10.{second}.0.0/16",
            "allocation_pools": [pool],
        }
        subnet = self._made(cluster, "subnets", "subnet", where)
        router = self._made(cluster, "routers", "router", {"external_gateway_info": {"network_id": external}})
        if not self._list("ports", device_id=router["id"], device_owner="network:router_interface"):
            self._call("PUT", f"routers/{router['id']}/add_router_interface", {"subnet_id": subnet["id"]})
        self._made(cluster, "security-groups", "security_group", {})
        return {"network_id": network["id"], "subnet_id": subnet["id"]}

    def _made(self, cluster: Any, kind: str, key: str, values: dict[str, Any]) -> dict[str, Any]:
        found = self._list(kind, description=_mark(cluster))
        if found:
            return found[0]
        own = {"name": cluster.name, "description": _mark(cluster), "project_id": cluster.project_id}
        made: dict[str, Any] = self._call("POST", kind, {key: own | values})[key]
        return made

    def _named(self, kind: str, name: str | None, **filters: Any) -> dict[str, Any]:
        rows = self._list(kind, **filters)
        found = next((row for row in rows if name is None or name in (row["id"], row["name"])), None)
        if found is None:
            raise NetworkError(f"Neutron has no {kind[:-1]} {name or 'that leads outside'}.")
        return found

    def _list(self, kind: str, **filters: Any) -> list[dict[str, Any]]:
        rows: list[dict[str, Any]] = self._call("GET", kind, params=filters)[kind.replace("-", "_")]
        return rows

    def _call(self, method: str, path: str, body: Any = None, *, params: Any = None) -> Any:
        if self._session is None:
            self._session = keystone.KeystoneClientV3(magnum_context.make_admin_context(all_tenants=True)).session
        answer = self._session.request(
            f"/v2.0/{path}", method, json=body, params=params, endpoint_filter=NETWORK, user_agent=AGENT
        )
        return answer.json() if answer.content else None


def _mark(cluster: Any) -> str:
    return f"Magnum cluster {cluster.uuid}"
