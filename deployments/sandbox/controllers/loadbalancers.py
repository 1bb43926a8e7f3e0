"""Services of type LoadBalancer: an address each on loopback, as the cloud provider gets them from Octavia."""

from __future__ import annotations

import contextlib
import fcntl
import ipaddress
import json
import os
from collections.abc import Iterator
from pathlib import Path

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import deleting, key_of
from deployments.sandbox.controllers.kube.resources import SERVICES, Key, Obj

FINALIZER = "service.kubernetes.io/load-balancer-cleanup"


class AddressPool:
    """The sandbox's load balancer addresses, shared by all clusters through a locked file.

    Args:
        path: the file; made when missing.
        network: where addresses come from.
        clusters: the folder of clusters; what a cluster without a folder held is free again.
    """

    def __init__(self, path: Path, network: ipaddress.IPv4Network, clusters: Path) -> None:
        self._path, self._network, self._clusters = path, network, clusters

    def take(self, cluster: str, service: str, asked: str | None = None) -> str:
        """The address of a service of a cluster: the one it has, the one it asks for if free, else the next.

        Raises:
            OSError: none is free, or the one asked for is not.
        """
        holder = f"{cluster}/{service}"
        with self._held() as held:
            mine = next((address for address, by in held.items() if by == holder), None)
            if mine is not None and asked in {None, "", mine}:
                return mine
            if asked:
                if asked in held or ipaddress.ip_address(asked) not in self._network:
                    raise OSError(f"address {asked} is not available in {self._network}")
                chosen = asked
            else:
                free = (str(address) for address in self._network.hosts() if str(address) not in held)
                chosen = next(free, "")
                if not chosen:
                    raise OSError(f"no free address in {self._network}")
            if mine is not None:
                del held[mine]
            held[chosen] = holder
            return chosen

    def free(self, cluster: str, service: str) -> None:
        """Give a service's address back."""
        with self._held() as held:
            for address in [each for each, by in held.items() if by == f"{cluster}/{service}"]:
                del held[address]

    def keep_only(self, cluster: str, services: set[str]) -> None:
        """Free what a cluster's services hold that are not there any more, and what lost clusters held."""
        with self._held() as held:
            for address, by in list(held.items()):
                owner, _, service = by.partition("/")
                gone = owner == cluster and service not in services
                if gone or (owner != cluster and not (self._clusters / owner).is_dir()):
                    del held[address]

    @contextlib.contextmanager
    def _held(self) -> Iterator[dict[str, str]]:
        self._path.parent.mkdir(parents=True, exist_ok=True)
        with os.fdopen(os.open(self._path, os.O_RDWR | os.O_CREAT, 0o600), "r+") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            text = file.read()
            held: dict[str, str] = json.loads(text) if text else {}
            yield held
            after = json.dumps(held, indent=1, sort_keys=True)
            if after != text:
                file.seek(0)
                file.truncate()
                file.write(after)


class LoadBalancers:
    """Gives each LoadBalancer Service its address, and takes it back."""

    def __init__(self, cluster: Cluster, pool: AddressPool, identity: str) -> None:
        self._cluster, self._pool, self._identity = cluster, pool, identity
        self._services = cluster.informer(SERVICES)
        cluster.add(Controller("loadbalancers", self._services, self.reconcile))

    async def start(self) -> None:
        """Free what was left held while nobody looked."""
        await self._services.synced.wait()
        services = {"/".join(key_of(each)) for each in self._services.all() if wants_address(each)}
        self._pool.keep_only(self._identity, services)

    async def reconcile(self, key: Key) -> None:
        """Make one Service's address right."""
        service = self._services.get(*key)
        name = "/".join(key)
        if service is None:
            self._pool.free(self._identity, name)
            return
        if deleting(service) or not wants_address(service):
            await self._release(service, name)
            return
        service = await self._cluster.set_finalizer(SERVICES, service, FINALIZER, present=True)
        try:
            address = self._pool.take(self._identity, name, service["spec"].get("loadBalancerIP"))
        except OSError as error:
            await self._cluster.event(SERVICES, service, "SyncLoadBalancerFailed", str(error), warning=True)
            raise
        if not current_address(service):
            await self._cluster.event(SERVICES, service, "EnsuredLoadBalancer", "Ensured load balancer")
        await self._cluster.patch_status(SERVICES, service, {"loadBalancer": {"ingress": [{"ip": address}]}})

    async def _release(self, service: Obj, name: str) -> None:
        self._pool.free(self._identity, name)
        if FINALIZER not in (service["metadata"].get("finalizers") or []):
            return
        if not deleting(service) and current_address(service):
            service = await self._cluster.patch_status(SERVICES, service, {"loadBalancer": {"ingress": None}})
        await self._cluster.set_finalizer(SERVICES, service, FINALIZER, present=False)


def wants_address(service: Obj) -> bool:
    """Whether the cloud provider is asked for an address."""
    spec = service["spec"]
    return spec.get("type") == "LoadBalancer" and not spec.get("loadBalancerClass") and not deleting(service)


def current_address(service: Obj) -> str | None:
    """The address the Service's status says, if any."""
    ingress = ((service.get("status") or {}).get("loadBalancer") or {}).get("ingress") or []
    return ingress[0].get("ip") if ingress else None
