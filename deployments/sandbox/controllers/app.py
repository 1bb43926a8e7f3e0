"""All controllers of one cluster in one process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.controllers.arc import controller as arc
from deployments.sandbox.controllers.argocd.controller import ArgoCD
from deployments.sandbox.controllers.ceph import Ceph
from deployments.sandbox.controllers.cert_manager.assembly import CertManager
from deployments.sandbox.controllers.cert_manager.solver import Checker
from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.hooks import Hooks
from deployments.sandbox.controllers.ingress.controller import Ingress, Ports, is_ingress_controller
from deployments.sandbox.controllers.kube.client import Client
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.resources import DAEMONSETS, DEPLOYMENTS
from deployments.sandbox.controllers.loadbalancers import AddressPool, LoadBalancers
from deployments.sandbox.controllers.nodes import Inventory, Nodes
from deployments.sandbox.controllers.storage import Storage
from deployments.sandbox.settings import NAME_SERVERS, SandboxSettings

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Options:
    """What the process is told.

    Args:
        cluster_home: the cluster's folder, with cluster.json.
        kubeconfig: of the cluster's administrator.
        sandbox_home: the sandbox's folder.
        settings: the sandbox's ports and networks.
    """

    cluster_home: Path
    kubeconfig: Path
    sandbox_home: Path
    settings: SandboxSettings


async def run(options: Options) -> None:
    """Run every controller until cancelled."""
    inventory = Inventory(options.cluster_home / "cluster.json")
    identity = options.cluster_home.name
    async with Client.from_kubeconfig(options.kubeconfig) as client:
        name = str(inventory.document.get("name", identity))
        cluster = Cluster(client, name=name)
        besides = _core(cluster, inventory, identity, options)
        settings = options.settings
        checker = Checker(list(NAME_SERVERS.values()), settings.port("dns"), settings.ingress_http_port)
        cert_manager = CertManager(cluster, options.sandbox_home / "ca", checker)
        ingress = Ingress(
            cluster,
            Feature(cluster, is_ingress_controller, (DEPLOYMENTS, DAEMONSETS)),
            Ports(settings.ingress_https_port, settings.ingress_http_port),
        )
        ArgoCD(cluster, options.cluster_home / "argocd")
        arc.add_all(cluster, settings.url("github"))
        Ceph(cluster)
        Hooks(cluster)
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(cluster.run())
                for each in besides:
                    group.create_task(_insist(each))
        finally:
            await cert_manager.stop()
            await ingress.stop()


def _core(
    cluster: Cluster, inventory: Inventory, identity: str, options: Options
) -> list[Callable[[], Awaitable[None]]]:
    """What every cluster needs; returns what runs beside the controllers."""
    nodes = Nodes(cluster, inventory)
    storage = Storage(cluster)
    pool = AddressPool(
        options.sandbox_home / "loadbalancers.json",
        options.settings.loadbalancer_network,
        options.sandbox_home / "clusters",
    )
    balancers = LoadBalancers(cluster, pool, identity)
    return [nodes.run, storage.start, balancers.start]


async def _insist(work: Callable[[], Awaitable[None]]) -> None:
    """Start something again that the API server's absence ended."""
    while True:
        try:
            await work()
            return
        except Exception:  # whatever it was, the other controllers go on
            log.exception("%s", getattr(work, "__qualname__", work))
            await asyncio.sleep(1)
