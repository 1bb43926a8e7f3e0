"""What Magnum and Nova say about one environment's cluster, read without Terraform.

Every part is asked for by itself: one that cannot be read leaves the others standing.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import TypeVar

from infra.clients.errors import Denied, NotYet, PlumblineError, explained
from infra.clients.openstack import OpenStackClient
from infra.clients.openstack_models import Cluster, ClusterTemplate, Keypair, NodeGroup
from infra.planes.looking import NotLooked
from infra.spec.names import MARK, keypair_name

T = TypeVar("T")


@dataclass(frozen=True)
class Seen:
    """What is there; `None` is "there is none", `NotLooked` is "nobody knows".

    Attributes:
        cluster: of the environment's name, with all its fields.
        template: the one the cluster is made from.
        groups: the cluster's, all of them.
        keypair: of the environment's name, in the account that asks.
        clusters: the project's, as LIST shows them.
        templates: the project's.
        account: the user that asks.
    """

    cluster: Cluster | NotLooked | None
    template: ClusterTemplate | NotLooked | None = None
    groups: tuple[NodeGroup, ...] | NotLooked = ()
    keypair: Keypair | NotLooked | None = None
    clusters: tuple[Cluster, ...] | NotLooked = ()
    templates: tuple[ClusterTemplate, ...] | NotLooked = ()
    account: str | NotLooked | None = None

    def settled(self, environment: str) -> bool:
        """Whether the cluster is there, ours, and not being changed: only then its fields can be judged."""
        found = self.cluster
        return isinstance(found, Cluster) and found.labels.get(MARK) == environment and not found.in_progress


async def see(environment: str, openstack: OpenStackClient) -> Seen:
    """Read everything there is to know; raises nothing, for what cannot be read is `NotLooked`."""
    magnum = openstack.magnum
    cluster, clusters, templates, keypair, account = await asyncio.gather(
        ask(magnum.cluster(environment)),
        ask(magnum.clusters()),
        ask(magnum.templates()),
        ask(openstack.compute.keypair(keypair_name(environment))),
        ask(openstack.user_id()),
    )
    cluster = _whole(environment, cluster, clusters)
    groups: tuple[NodeGroup, ...] | NotLooked = ()
    template: ClusterTemplate | NotLooked | None = None
    if isinstance(cluster, Cluster):
        groups, template = await asyncio.gather(
            ask(magnum.node_groups(cluster.uuid)), ask(magnum.template(cluster.cluster_template_id or ""))
        )
    keypair = _of_this_account(keypair, cluster, account)
    return Seen(cluster, template, groups, keypair, clusters, templates, account)


async def ask(question: Awaitable[T]) -> T | NotLooked:
    """An answer, or why there is none."""
    try:
        with explained():
            return await question
    except PlumblineError as error:
        return NotLooked.of(error)


def _whole(
    environment: str, cluster: Cluster | NotLooked | None, clusters: tuple[Cluster, ...] | NotLooked
) -> Cluster | NotLooked | None:
    """Disbelieve a 404 on a cluster that LIST shows: Magnum answers so while it makes or deletes one."""
    if cluster is not None and not (isinstance(cluster, Cluster) and cluster.status == "DELETE_COMPLETE"):
        return cluster
    listed = [one for one in clusters if one.name == environment] if not isinstance(clusters, NotLooked) else []
    if cluster is None and listed:
        status = listed[0].status or "without a status"
        why = f"Magnum lists cluster {environment} ({status}), but does not show it: it is being made or deleted."
        return NotLooked(why, NotYet.category)
    return None


def _of_this_account(
    keypair: Keypair | NotLooked | None, cluster: Cluster | NotLooked | None, account: str | NotLooked
) -> Keypair | NotLooked | None:
    """Say "unknown" of a keypair that another account would see: Nova shows keypairs to their owner only."""
    owner = cluster.user_id if isinstance(cluster, Cluster) else None
    if keypair is None and owner is not None and owner != account:
        why = (
            f"Nova shows keypairs only to the account that made them, and the cluster was made by another ({owner}): "
            "check with an application credential of that account."
        )
        return NotLooked(why, Denied.category)
    return keypair
