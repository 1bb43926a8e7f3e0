"""The clients a plane may use, bundled once per run."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable
from contextlib import AsyncExitStack, asynccontextmanager
from datetime import UTC, datetime
from typing import TypeVar

from infra.catalog import Catalog
from infra.clients.dns import DnsClient
from infra.clients.errors import NotFound, NotYet, Refused
from infra.clients.git import GitClient
from infra.clients.helm import HelmClient
from infra.clients.kubeconfig import ORGANIZATION, READERS, Kubeconfigs
from infra.clients.kubernetes import KubernetesClient
from infra.clients.openstack import OpenStackClient
from infra.clients.secrets import SecretStore
from infra.clients.tls import TlsClient
from infra.clients.waiting import wait_until
from infra.drift.findings import Finding
from infra.drift.memory import Memory
from infra.drift.waiving import waive
from infra.ledger import BriefClusters, Clusters, Journal
from infra.planes.cloud.findings import deletion
from infra.planes.live import LiveObjects
from infra.planes.remembering import remembered
from infra.settings import Settings
from infra.spec.models import Environment
from infra.spec.names import MARK
from infra.terraform.runner import Terraform
from infra.terraform.variables import Variables

T = TypeVar("T")
KNOWN = "known"
"""Folder in state_dir with what was in step at the last look, a file per environment; it may be removed at any time."""


class Clients:
    """One client per outside system, for one environment; those of the cluster come with `connect`."""

    def __init__(
        self,
        environment: Environment,
        *,
        settings: Settings,
        catalog: Catalog,
        journal: Journal,
        openstack: OpenStackClient,
        stack: AsyncExitStack,
        clusters: Clusters | None = None,
        memory: Memory | None = None,
        read_only: bool = False,
    ) -> None:
        self._environment = environment.name
        self._waivers = environment.spec.policy.drift.waivers
        self.settings = settings
        self.catalog = catalog
        self.journal = journal
        self.clusters: Clusters = clusters or BriefClusters()
        self.openstack = openstack
        self._terraform = Terraform(
            Variables.of(environment, cluster_timeout=settings.cluster_timeout),
            settings=settings,
            report=logging.getLogger("infra.terraform").info,
        )
        self.dns = DnsClient(settings=settings)
        self.tls = TlsClient(settings)
        self.git = GitClient(settings)
        self.secrets = SecretStore(settings.secrets_dir)
        self._stack = stack
        self._memory = memory
        self._read_only = read_only
        self._kubeconfigs: Kubeconfigs | None = None
        self._kubernetes: KubernetesClient | None = None
        self._helm: HelmClient | None = None
        self._live: LiveObjects | None = None

    @property
    def terraform(self) -> Terraform:
        """Terraform that plans to apply; those who only look have a reader of their own (infra.terraform.looking).

        Raises:
            Refused: these clients only look.
        """
        if self._read_only:
            raise Refused("This run only looks: Terraform is not asked to change anything.")
        return self._terraform

    @property
    def connected(self) -> bool:
        """Whether the cluster's clients are there."""
        return self._kubernetes is not None

    @property
    def kubernetes(self) -> KubernetesClient:
        """The cluster's API; only after `connect`."""
        if self._kubernetes is None:
            raise RuntimeError("connect() comes first")
        return self._kubernetes

    @property
    def helm(self) -> HelmClient:
        """The cluster's releases; only after `connect`."""
        if self._helm is None:
            raise RuntimeError("connect() comes first")
        return self._helm

    async def connect(self, cluster_name: str) -> None:
        """Mint a kubeconfig for the cluster and open its clients; does nothing the second time.

        From here on the cluster can make things in the cloud, so its UUID is kept before.

        Raises:
            NotFound: there is no such cluster.
            NotYet: it has no API address yet; or it is being deleted, where half of what a look shows is gone.
        """
        if self.connected:
            return
        cluster = await self.openstack.magnum.cluster(cluster_name)
        if cluster is None:
            raise NotFound(f"There is no cluster {cluster_name}.")
        if cluster.labels.get(MARK) == self._environment:
            await self.clusters.note_cluster(cluster.uuid)
        leaving = deletion(cluster)
        if leaving is not None and cluster.in_progress and self._read_only:
            raise NotYet(leaving)
        if self._kubeconfigs is None:
            group = READERS if self._read_only else ORGANIZATION
            minting = Kubeconfigs(self.openstack, group=group)
            self._kubeconfigs = await self._stack.enter_async_context(minting)
        kubeconfig = await self._kubeconfigs.of(cluster)
        kubernetes = KubernetesClient(kubeconfig, self.settings, read_only=self._read_only)
        self._kubernetes = await self._stack.enter_async_context(kubernetes)
        helm = HelmClient(kubeconfig, self.settings, kubernetes=kubernetes)
        self._helm = await self._stack.enter_async_context(helm)

    @property
    def live(self) -> LiveObjects:
        """What is in the cluster, read once per look; only after `connect`."""
        if self._live is None:
            dry_runs = self.settings.drift_dry_run or not self._read_only
            self._live = LiveObjects(self.kubernetes, self.helm, memory=self._memory, dry_runs=dry_runs)
        return self._live

    async def until(self, probe: Callable[[], Awaitable[T]], *, describe: str) -> T:
        """Ask a readiness probe until it holds, as long and as often as the settings say; see `wait_until`."""
        return await wait_until(
            probe, describe=describe, timeout=self.settings.probe_timeout, interval=self.settings.probe_interval
        )

    def not_waived(self, findings: Iterable[Finding]) -> list[Finding]:
        """Those differences that nobody has agreed to live with today."""
        return list(waive(findings, self._waivers, datetime.now(UTC).date(), looked_everywhere=False).alarming)

    def look_again(self) -> None:
        """Forget what has been read of the cluster."""
        self._live = None

    def disconnect(self) -> None:
        """Forget the cluster's clients and what they have read: it does not answer, or is not needed any more."""
        self._kubernetes = self._helm = None
        self.look_again()


@asynccontextmanager
async def open_clients(
    environment: Environment,
    *,
    settings: Settings,
    catalog: Catalog,
    journal: Journal,
    clusters: Clusters | None = None,
    read_only: bool = False,
) -> AsyncIterator[Clients]:
    """The clients of one run over one environment; closed, and their credentials removed, at its end.

    Args:
        clusters: where the UUIDs of the environment's clusters are kept; only in here where None.
        read_only: refuse whatever is not a read (or a dry run), before it is sent (see openstack_guard).
    """
    async with AsyncExitStack() as stack:
        cloud = OpenStackClient(environment.spec.cloud, settings, read_only=read_only)
        openstack = await stack.enter_async_context(cloud)
        memory = stack.enter_context(remembered(settings.state_dir / KNOWN / f"{environment.name}.json"))
        clients = Clients(
            environment,
            settings=settings,
            catalog=catalog,
            journal=journal,
            openstack=openstack,
            stack=stack,
            clusters=clusters,
            memory=memory,
            read_only=read_only,
        )
        try:
            yield clients
        finally:
            # Who still holds us then, such as Prefect with a step's arguments, must not hold all that was read of a
            # cluster, too: after a hundred of them a sweep had 300 MiB of it.
            clients.disconnect()
