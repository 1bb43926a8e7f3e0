"""The end of an environment: whether its cluster can still be asked, and the proof that nothing of it is left."""

from __future__ import annotations

import logging
from collections.abc import Collection

from infra.clients.errors import Conflict, Failed, InvalidInput, NotFound, NotYet, PlumblineError, Unavailable
from infra.clients.openstack_models import Leftover
from infra.drift.findings import PlaneName
from infra.planes import dns
from infra.planes.bring import Outcome
from infra.planes.clients import Clients
from infra.planes.cloud.terraform import CLUSTER
from infra.spec.models import Environment
from infra.spec.names import MARK, cluster_name, keypair_name

log = logging.getLogger(__name__)

IN_THE_WAY = frozenset({"load balancer", "floating IP"})
"""What keeps Magnum from deleting the network of a cluster."""
STUCK = {
    "error": "its service could not delete it, and is asked again",
    "error_deleting": "Cinder could not delete it, and is asked again; its backend knows why",
}
"""States in which an accepted deletion has failed."""


async def reach(environment: Environment, clients: Clients) -> str:
    """Connect to the cluster; a cluster that is gone or does not answer is no reason not to go on.

    What such a cluster still holds in the cloud is found by the sweep at the end, if its UUID is known: Magnum forgets
    it with the cluster, Terraform's state with the destroy. So it is kept now.

    Raises:
        PlumblineError: Terraform's state cannot be read.
    """
    name = cluster_name(environment)
    try:
        await clients.connect(name)
        return f"Kubernetes {await clients.kubernetes.version()} answers"
    except (NotFound, NotYet):
        said = f"there is no cluster {name} to ask"
    except PlumblineError as error:
        clients.disconnect()
        log.warning("The cluster does not answer: %s", error)
        said = f"cluster {name} does not answer; what it left in the cloud is swept at the end"
    for item in await clients.terraform.objects():
        if item.type == CLUSTER and item.identifier:
            await clients.clusters.note_cluster(item.identifier)
    return said


async def sweep(environment: Environment, clients: Clients) -> Outcome:
    """Find what still carries the environment's names or marks, delete it, and show that nothing is left.

    Raises:
        DeadlineExceeded: something is still there, with a sentence for each.
        Failed: a service could not be looked at.
    """
    removed = await _remove(environment, clients)
    return Outcome.removed(PlaneName.CLUSTER, "leftovers", removed, nothing="nothing of it is left")


async def clear_the_way(environment: Environment, clients: Clients) -> list[str]:
    """Delete the load balancers and floating IPs of a cluster that cannot be asked to: its network would not go.

    Raises:
        DeadlineExceeded: some are still there, with a sentence for each.
    """
    return await _remove(environment, clients, kinds=IN_THE_WAY)


async def _remove(environment: Environment, clients: Clients, kinds: Collection[str] | None = None) -> list[str]:
    """Delete what is left, of all kinds or of some, and wait until it is gone."""
    removed: dict[str, None] = {}
    refused: dict[str, str] = {}

    async def nothing() -> None:
        left = [one for one in await _left(environment, clients) if kinds is None or one.kind in kinds]
        for item in left:
            where = _address(item)
            if item.going or (where in removed and item.status not in STUCK):
                continue
            if where not in removed:
                log.warning("Left behind: %s %s (%s).", item.kind, item.name or item.id, item.why)
            try:
                async with clients.journal.write(PlaneName.CLUSTER, "sweep", where):
                    await clients.openstack.leftovers.delete(item)
                removed[where] = None
                refused.pop(where, None)
            except (Conflict, InvalidInput, Unavailable) as error:
                # Something else stands in it, or Cinder does not let go of it yet: what goes first may free it.
                refused[where] = error.detail or error.summary
        if left:
            causes = [said for item in left if (said := stuck(item, refused.get(_address(item))))]
            # Whatever else is there is only waiting.
            named = causes or [f"{item.kind} {item.name or item.id}" for item in left]
            raise NotYet(f"{len(left)} things are still there.", detail="; ".join(named))

    await clients.until(nothing, describe=f"the last things of {environment.name} to go")
    return list(removed)


def stuck(item: Leftover, refusal: str | None) -> str | None:
    """Why a thing does not go, and what helps, in a sentence; None while nothing keeps it (pure)."""
    what = f"{item.kind} {item.name or item.id}"
    servers = ", ".join(sorted({one.server for one in item.attachments if one.server}))
    if item.kind == "volume" and (item.attachments or item.status in ("detaching", "error_detaching")):
        held = f" to server {servers}" if servers else ""
        return f"{what} is still attached{held} ({item.status}): whoever runs the cloud has to detach it"
    if item.status in STUCK:
        return f"{what} is in {item.status.upper()}: {STUCK[item.status]}"
    if refusal:
        return f"{what} cannot be deleted: {refusal}"
    return None


def _address(item: Leftover) -> str:
    """As a check names such an object."""
    kind = item.kind.removeprefix("cluster ").replace(" ", "-").lower()
    return f"{kind}/{item.name or item.id}"


async def _left(environment: Environment, clients: Clients) -> list[Leftover]:
    names = [cluster_name(environment), keypair_name(environment.name)]
    found = await clients.openstack.leftovers.find(
        names=names, clusters=await clients.clusters.clusters(), marks=[dns.mark(environment.name)]
    )
    if found.not_looked:
        said = "; ".join(f"{service}: {why}" for service, why in found.not_looked.items())
        raise Failed("Not everything could be looked at, so nothing can be said about what is left.", detail=said)
    templates = [
        Leftover(kind="cluster template", id=template.uuid, name=template.name, why="its label names the environment")
        for template in await clients.openstack.magnum.templates()
        if template.labels.get(MARK) == environment.name
    ]
    known = {item.id for item in found.found}
    return [*found.found, *(template for template in templates if template.id not in known)]
