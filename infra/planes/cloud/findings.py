"""The cluster plane's findings: under which addresses they stand, whoever found them, and how they are made. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from functools import partial

from pydantic import JsonValue

from infra.clients.openstack_models import Cluster, ClusterTemplate, NodeGroup, moment
from infra.drift.findings import Changed, Finding, PlaneName, Severity
from infra.spec.names import keypair_name

PLANE = PlaneName.CLUSTER
field = partial(Finding.at, PLANE)
"""A finding of this plane: address, path, declared, observed, sentence, severity, changed."""

Dated = Cluster | ClusterTemplate | NodeGroup


def cluster_at(name: str) -> str:
    """A Magnum cluster's."""
    return f"cluster/{name}"


def template_at(name: str) -> str:
    """A cluster template's."""
    return f"template/{name}"


def group_at(environment: str, name: str) -> str:
    """A node group's."""
    return f"nodegroup/{environment}/{name}"


def keypair_at(environment: str) -> str:
    """The keypair's of an environment."""
    return f"keypair/{keypair_name(environment)}"


def state_at(environment: str) -> str:
    """The Terraform state's of an environment."""
    return f"terraform-state/{environment}"


def providers_at(environment: str) -> str:
    """The Terraform provider's of an environment."""
    return f"terraform-provider/{environment}"


def activity(cluster: Cluster, template: ClusterTemplate | None = None, groups: Iterable[NodeGroup] = ()) -> str:
    """What Magnum is doing to a cluster that is in progress, and since when, as a sentence without its full stop.

    Args:
        template: the one it is made from; its version tells an upgrade from a resize.
        groups: its node groups; their addresses tell that one is being resized.
    """
    since = cluster.updated_at or cluster.created_at
    if cluster.status == "CREATE_IN_PROGRESS":
        since = cluster.created_at or since
    when = f" since {since}" if since else ""
    return f"Cluster {cluster.name} is being {doing(cluster, template, groups)}{when} ({cluster.status})"


def doing(cluster: Cluster, template: ClusterTemplate | None = None, groups: Iterable[NodeGroup] = ()) -> str:
    """What is done to a cluster that is in progress, in a word or two: created, upgraded, resized …"""
    words = {"CREATE": "created", "DELETE": "deleted", "ROLLBACK": "rolled back", "UPDATE": "changed"}
    word = words.get((cluster.status or "").removesuffix("_IN_PROGRESS"), "worked at")
    version = (template.labels if template else cluster.labels).get("kube_tag")
    if word != "changed":
        return word
    if version and cluster.coe_version and version != cluster.coe_version:
        return f"upgraded (from {cluster.coe_version} to {version})"
    return "resized" if any(group.node_count != len(group.node_addresses) for group in groups) else word


def deletion(cluster: Cluster) -> str | None:
    """What becomes of a cluster that Magnum deletes, or could not delete; None of any other."""
    if cluster.status == "DELETE_IN_PROGRESS":
        return f"Cluster {cluster.name} is being deleted."
    if cluster.status == "DELETE_FAILED":
        why = cluster.why or "Magnum gives no cause"
        return f"The deletion of cluster {cluster.name} failed ({cluster.status}): {why.rstrip('.')}."
    return None


def changed(item: Dated) -> Changed | None:
    """When Magnum last wrote a record. It keeps no author, and its own status polls move the time."""
    when = moment(item.updated_at)
    how = "updated_at, which Magnum's own polls move, too"
    return Changed(who="unknown (Magnum records no author)", when=when, how=how, by_then=True) if when else None


def made(item: Dated) -> Changed | None:
    """Who made an object, and when."""
    when, who = moment(item.created_at), getattr(item, "user_id", None)
    if when is None and who is None:
        return None
    return Changed(who=f"user {who}" if who else "unknown (Magnum records no author)", when=when, how="creation")


def differs(  # noqa: PLR0917
    where: str,
    what: str,
    path: str,
    declared: JsonValue,
    observed: JsonValue,
    dated: Dated,
    severity: Severity = Severity.CONFIG,
) -> Iterator[Finding]:
    """The finding of one field, where it is not as declared."""
    if declared != observed:
        there = "none" if observed is None else observed
        instead = "none" if declared is None else declared
        sentence = f"{what} has {path} {there} instead of {instead}."
        yield field(where, path, declared, observed, sentence, severity, changed(dated))


def whole(where: str, declared: JsonValue, observed: JsonValue, sentence: str) -> Finding:
    """The finding that a declared object is gone."""
    return field(where, "", declared, observed, sentence, Severity.DESTRUCTIVE)
