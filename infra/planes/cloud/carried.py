"""Whether Magnum shows what a plan of Terraform's was to bring about. Pure.

Terraform's provider takes Magnum's answer for the deed, or gives up on one that goes on. Only Magnum's own records say
that it is done: the declared counts, template and version, and the groups that are to be there and no others.
"""

from __future__ import annotations

from collections.abc import Iterator

from infra.clients.openstack_models import Cluster
from infra.planes.cloud.compare import compare_cloud
from infra.planes.cloud.seen import Seen
from infra.planes.cloud.terraform import CLUSTER, NODE_GROUP, address_of
from infra.planes.looking import NotLooked
from infra.terraform.plans import Change, Plan
from infra.terraform.variables import Variables

_CARRIED = frozenset({"", "template", "kubernetes", "node_count", "min", "max"})
"""The fields that Magnum changes on a plan's behalf; any other makes a new object."""


def magnums(plan: Plan) -> tuple[Change, ...]:
    """What of a plan Magnum carries out only after it has answered: clusters and node groups."""
    return tuple(change for change in plan.changes if change.type in (CLUSTER, NODE_GROUP))


def undone(wanted: Variables, plan: Plan, seen: Seen) -> list[str]:
    """What Magnum does not show yet of a plan that was applied, in words.

    Args:
        wanted: what git declares.
        seen: cluster, template and node groups, read while Magnum is not at work on them.
    """
    left = list(_still_there(plan, seen))
    if not plan.destroy:
        touched = {address_of(each, plan.environment) for each in magnums(plan) if each.actions != ("delete",)}
        found = compare_cloud(wanted, seen).findings
        left += [one.sentence for one in found if one.address in touched and one.path in _CARRIED]
    return left


def _still_there(plan: Plan, seen: Seen) -> Iterator[str]:
    """What the plan was to take away; of a node group that is made anew, the id tells which it is."""
    cluster = seen.cluster
    if not isinstance(cluster, Cluster):
        return
    groups = () if isinstance(seen.groups, NotLooked) else seen.groups
    ids = {cluster.uuid, *(f"{cluster.uuid}/{group.uuid}" for group in groups)}
    for change in magnums(plan):
        if change.destroys and change.identifier in ids:
            yield f"{address_of(change, plan.environment)} ({change.identifier}) is still there."
