"""All controllers of one cluster in one process."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from pathlib import Path

from deployments.sandbox.controllers.arc import controller as arc
from deployments.sandbox.controllers.argocd.controller import ArgoCD
from deployments.sandbox.controllers.ceph import Ceph
from deployments.sandbox.controllers.cert_manager.designate import Records
from deployments.sandbox.controllers.cert_manager.names import Names
from deployments.sandbox.controllers.cert_manager.programs import CertManager
from deployments.sandbox.controllers.cert_manager.solver import Solver
from deployments.sandbox.controllers.cloud import Cloud, Project
from deployments.sandbox.controllers.egress import Egress
from deployments.sandbox.controllers.features import Feature, has_labels
from deployments.sandbox.controllers.hooks import Hooks
from deployments.sandbox.controllers.ingress.controller import Ingress
from deployments.sandbox.controllers.kube.client import Client
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.resources import DAEMONSETS, DEPLOYMENTS, SERVICES
from deployments.sandbox.controllers.loadbalancers import LoadBalancers
from deployments.sandbox.controllers.nodes import Inventory, Nodes
from deployments.sandbox.controllers.storage import Storage
from deployments.sandbox.layout import Layout
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
        cloud: where volumes and load balancers come from; by default the cluster's project in the sandbox's.
    """

    cluster_home: Path
    kubeconfig: Path
    sandbox_home: Path
    settings: SandboxSettings
    cloud: Cloud | None = None


async def run(options: Options) -> None:
    """Run every controller until cancelled."""
    inventory = Inventory(options.cluster_home / "cluster.json")
    async with AsyncExitStack() as stack:
        client = await stack.enter_async_context(Client.from_kubeconfig(options.kubeconfig))
        # Magnum's manifests start the cloud provider and the volume driver with --cluster-name=<the cluster's UUID>.
        uuid = str(inventory.document.get("uuid", options.cluster_home.name))
        cluster = Cluster(client, name=uuid)
        besides = _core(cluster, inventory, options)
        settings = options.settings
        dns = settings.port("dns")
        egress = Egress(cluster.informer(SERVICES))
        servers = list(NAME_SERVERS.values())
        names = Names(servers, dns, settings.ingress_http_port)
        proxy = await stack.enter_async_context(names.serving())
        programs = CertManager(cluster, egress, options.cluster_home / "cert-manager", dns_port=dns, proxy=proxy)
        records = Records(Layout(options.sandbox_home).clouds, [(server, dns) for server in servers])
        front_proxy = options.cluster_home / "front-proxy-ca.crt"
        solver = Solver(cluster, egress, programs.features["controller"], records, front_proxy)
        ingress = Ingress(
            cluster,
            Feature(cluster, has_labels(name="nginx-ingress"), (DEPLOYMENTS, DAEMONSETS)),
            https=settings.ingress_https_port,
            http=settings.ingress_http_port,
        )
        ArgoCD(cluster, options.cluster_home / "argocd")
        arc.add_all(cluster, settings.url("github"))
        Ceph(cluster)
        Hooks(cluster)
        stack.push_async_callback(ingress.stop)
        await stack.enter_async_context(solver.serving())
        await stack.enter_async_context(egress.serving(options.cluster_home))
        async with asyncio.TaskGroup() as group:
            group.create_task(cluster.run())
            for each in (*besides, *(child.run for child in programs.children)):
                group.create_task(_insist(each))


def _core(cluster: Cluster, inventory: Inventory, options: Options) -> list[Callable[[], Awaitable[None]]]:
    """What every cluster needs; returns what runs beside the controllers."""
    cloud = options.cloud or Project.of(options.cluster_home, options.sandbox_home)
    nodes = Nodes(cluster, inventory)
    storage = Storage(cluster, cloud)
    LoadBalancers(cluster, cloud, lambda: inventory.document["network"])
    return [nodes.run, storage.start]


async def _insist(work: Callable[[], Awaitable[None]]) -> None:
    """Start something again that the API server's absence ended."""
    while True:
        try:
            await work()
            return
        except Exception:  # whatever it was, the other controllers go on
            log.exception("%s", getattr(work, "__qualname__", work))
            await asyncio.sleep(1)
