"""The end of an environment: whether its cluster can still be asked, and the proof that nothing of it is left."""

from __future__ import annotations

import logging

from infra.clients.errors import Failed, NotFound, NotYet, PlumblineError
from infra.clients.openstack_models import Leftover
from infra.drift.findings import PlaneName
from infra.planes import dns
from infra.planes.bring import Outcome
from infra.planes.clients import Clients
from infra.spec.models import Environment
from infra.spec.names import MARK, cluster_name, keypair_name

log = logging.getLogger(__name__)


async def reach(environment: Environment, clients: Clients) -> str:
    """Connect to the cluster; a cluster that is gone or does not answer is no reason not to go on.

    What such a cluster still holds in the cloud is found by the sweep at the end.
    """
    name = cluster_name(environment)
    try:
        await clients.connect(name)
        return f"Kubernetes {await clients.kubernetes.version()} answers"
    except (NotFound, NotYet):
        return f"there is no cluster {name} to ask"
    except PlumblineError as error:
        clients.disconnect()
        log.warning("The cluster does not answer: %s", error)
        return f"cluster {name} does not answer; what it left in the cloud is swept at the end"


async def sweep(environment: Environment, clients: Clients) -> Outcome:
    """Find what still carries the environment's names or marks, delete it, and show that nothing is left.

    Raises:
        Failed: something could not be removed, or a service could not be looked at.
    """
    removed = []
    for item in await _left(environment, clients):
        log.warning("Left behind: %s %s (%s).", item.kind, item.name or item.id, item.why)
        where = _address(item)
        async with clients.journal.write(PlaneName.CLUSTER, "sweep", where):
            await clients.openstack.leftovers.delete(item)
        removed.append(where)

    async def nothing() -> None:
        left = await _left(environment, clients)
        if left:
            names = ", ".join(f"{item.kind} {item.name or item.id}" for item in left)
            raise NotYet(f"{len(left)} things are still there.", detail=names)

    await clients.until(nothing, describe=f"the last things of {environment.name} to go")
    return Outcome.removed(PlaneName.CLUSTER, "leftovers", removed, nothing="nothing of it is left")


def _address(item: Leftover) -> str:
    """As a check names such an object."""
    kind = item.kind.removeprefix("cluster ").replace(" ", "-").lower()
    return f"{kind}/{item.name or item.id}"


async def _left(environment: Environment, clients: Clients) -> list[Leftover]:
    name = cluster_name(environment)
    found = await clients.openstack.leftovers.find(
        names=[name, keypair_name(environment.name)], marks=[dns.mark(environment.name)]
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
