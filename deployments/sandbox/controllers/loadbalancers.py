"""Services of type LoadBalancer: an Octavia load balancer and a floating IP each, as the cloud provider makes them."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.sandbox.controllers import balancers
from deployments.sandbox.controllers.cloud import Cloud, CloudError
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import deleting, key_of
from deployments.sandbox.controllers.kube.resources import NODES, SERVICES, Key, Obj

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"
LOOK = 0.3
"""Seconds between two looks at a load balancer that is pending."""


class LoadBalancers:
    """Gives each LoadBalancer Service its load balancer and address, and takes them back.

    Args:
        cluster: whose Services they are.
        cloud: where load balancers and floating IPs come from.
        network: the ids of the cluster's network, see cluster.json.
    """

    def __init__(self, cluster: Cluster, cloud: Cloud, network: Callable[[], dict[str, str]]) -> None:
        self._cluster, self._cloud, self._network = cluster, cloud, network
        self._services = cluster.informer(SERVICES)
        self._nodes = cluster.informer(NODES)
        # By Service, the load balancer whose parts are known to be as wanted.
        self._done: dict[Key, Obj] = {}
        self._asked_to_go: set[Key] = set()
        cluster.add(
            Controller("loadbalancers", self._services, self.reconcile).on(
                self._nodes, lambda _: [key_of(each) for each in self._services.all() if wants_address(each)]
            )
        )

    async def reconcile(self, key: Key) -> float | None:
        """Make one Service's load balancer right; returns when to look again."""
        service = self._services.get(*key)
        if service is None:
            self._forget(key)
            return None
        wanted = wants_address(service)
        try:
            return await (self._ensure(key, service) if wanted else self._release(key, service))
        except CloudError as error:
            doing = "ensure" if wanted else "delete"
            message = f"Error syncing load balancer: failed to {doing} load balancer: {error}"
            await self._cluster.event(SERVICES, service, "SyncLoadBalancerFailed", message, warning=True)
            raise

    async def _ensure(self, key: Key, service: Obj) -> float | None:
        network = self._network()
        wanted = balancers.describe(self._cluster.name, service, self._nodes.all(), network["subnet_id"])
        if self._done.get(key) == wanted and current_address(service):
            return None
        service = await self._cluster.set_finalizer(SERVICES, service, FINALIZER, present=True)
        balancer = await self._find(wanted["name"])
        if balancer is None:
            await self._cluster.event(SERVICES, service, "EnsuringLoadBalancer", "Ensuring load balancer")
            await self._ensure_group(service)
            await self._cloud.call("POST", "load-balancer", "/lbaas/loadbalancers", {"loadbalancer": wanted})
            self._done[key] = wanted
            return LOOK
        if balancer["provisioning_status"].startswith("PENDING_"):
            return LOOK
        if balancer["provisioning_status"] != "ACTIVE":
            raise CloudError(
                f"load balancer {balancer['id']} is not ACTIVE, "
                f"current provisioning status: {balancer['provisioning_status']}"
            )
        if self._done.get(key) != wanted:
            change = balancers.next_change(balancer["id"], wanted, *await self._parts(balancer["id"]))
            if change is not None:
                method, path, body = change
                await self._cloud.call(method, "load-balancer", path, body)
                return LOOK
            self._done[key] = wanted
        address = await self._address(service, balancer["vip_port_id"], network["external_network_id"])
        if current_address(service) != address:
            await self._cluster.event(SERVICES, service, "EnsuredLoadBalancer", "Ensured load balancer")
        await self._cluster.patch_status(SERVICES, service, {"loadBalancer": {"ingress": [{"ip": address}]}})
        return None

    async def _release(self, key: Key, service: Obj) -> float | None:
        """Give everything back, in the order in which it lets go."""
        if FINALIZER not in (service["metadata"].get("finalizers") or []):
            return None
        mine = balancers.address_description(self._cluster.name, service)
        for row in await self._network_rows("floatingips", description=mine):
            await self._delete("network", f"/floatingips/{row['id']}")
        balancer = await self._find(balancers.balancer_name(self._cluster.name, service))
        if balancer is not None:
            status = balancer["provisioning_status"]
            if not status.startswith("PENDING_"):
                if key in self._asked_to_go and status == "ERROR":
                    self._asked_to_go.discard(key)
                    raise CloudError(f"load balancer {balancer['id']} is in ERROR")
                await self._delete("load-balancer", f"/lbaas/loadbalancers/{balancer['id']}", cascade="true")
                self._asked_to_go.add(key)
            return LOOK
        for row in await self._network_rows("security-groups", name=balancers.group_name(service)):
            await self._delete("network", f"/security-groups/{row['id']}")
        self._forget(key)
        if not deleting(service) and current_address(service):
            service = await self._cluster.patch_status(SERVICES, service, {"loadBalancer": {"ingress": None}})
        await self._cluster.set_finalizer(SERVICES, service, FINALIZER, present=False)
        return None

    async def _find(self, name: str) -> Obj | None:
        answer = await self._cloud.call("GET", "load-balancer", "/lbaas/loadbalancers", name=name)
        return next(iter(answer["loadbalancers"]), None)

    async def _parts(self, balancer: str) -> tuple[list[Obj], dict[str, list[Obj]]]:
        """The listeners, and the members of each pool."""

        async def rows(kind: str, path: str, **filters: str) -> list[Obj]:
            found: list[Obj] = (await self._cloud.call("GET", "load-balancer", path, **filters))[kind]
            return found

        listeners = await rows("listeners", "/lbaas/listeners", loadbalancer_id=balancer)
        pools = await rows("pools", "/lbaas/pools", loadbalancer_id=balancer)
        return listeners, {each["id"]: await rows("members", f"/lbaas/pools/{each['id']}/members") for each in pools}

    async def _address(self, service: Obj, port: str, external: str) -> str:
        """The floating IP of the load balancer's port: the one it has, the one asked for, or a new one."""
        found = await self._network_rows("floatingips", port_id=port)
        asked = service["spec"].get("loadBalancerIP")
        if not found and asked:
            for row in await self._network_rows("floatingips", floating_ip_address=asked):
                if row["port_id"]:
                    raise CloudError(f"floating IP {asked} is not available")
                body = {"floatingip": {"port_id": port}}
                found = [(await self._cloud.call("PUT", "network", f"/floatingips/{row['id']}", body))["floatingip"]]
        if not found:
            wanted = {
                "floating_network_id": external,
                "port_id": port,
                "description": balancers.address_description(self._cluster.name, service),
            } | ({"floating_ip_address": asked} if asked else {})
            made = await self._cloud.call("POST", "network", "/floatingips", {"floatingip": wanted})
            found = [made["floatingip"]]
        return str(found[0]["floating_ip_address"])

    async def _ensure_group(self, service: Obj) -> None:
        """The security group that lets the load balancer reach the nodes."""
        name = balancers.group_name(service)
        if not await self._network_rows("security-groups", name=name):
            description = balancers.group_description(self._cluster.name, service)
            group = {"security_group": {"name": name, "description": description}}
            await self._cloud.call("POST", "network", "/security-groups", group)

    async def _network_rows(self, kind: str, **filters: str) -> list[Obj]:
        rows: list[Obj] = (await self._cloud.call("GET", "network", f"/{kind}", **filters))[kind.replace("-", "_")]
        return rows

    async def _delete(self, service: str, path: str, **params: Any) -> None:
        try:
            await self._cloud.call("DELETE", service, path, **params)
        except CloudError as error:
            if error.status != 404:
                raise

    def _forget(self, key: Key) -> None:
        self._done.pop(key, None)
        self._asked_to_go.discard(key)


def wants_address(service: Obj) -> bool:
    """Whether the cloud provider is asked for an address."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not deleting(service)


def current_address(service: Obj) -> str | None:
    """The address the Service's status says, if any."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return ingress[0].get("ip") if ingress else None
