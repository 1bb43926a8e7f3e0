"""The node groups that are declared against those Magnum shows. Pure."""

from __future__ import annotations

from collections.abc import Iterator

from pydantic import JsonValue

from infra.clients.openstack_models import Cluster, NodeGroup
from infra.drift.findings import Finding, Severity
from infra.planes.cloud.findings import Dated, changed, cluster_at, differs, field, group_at, made, whole
from infra.terraform.variables import NodeGroup as Wanted
from infra.terraform.variables import Variables

DEFAULTS = ("default-master", "default-worker")
"""The node groups Magnum makes itself."""


def compare_groups(wanted: Variables, cluster: Cluster, groups: tuple[NodeGroup, ...]) -> Iterator[Finding]:
    """One finding for each field of a node group that is not as declared, and for each group nobody declared."""
    there = {group.name: group for group in groups}
    workers = there.get("default-worker")
    if workers is not None:
        where, what = cluster_at(cluster.name), f"Cluster {cluster.name}"
        yield from _count(where, what, wanted.nodes.count, bounds(wanted, "default-worker"), workers, cluster)
    for name in DEFAULTS:
        if name not in there:
            sentence = f"Cluster {cluster.name} has no node group {name}."
            yield whole(group_at(cluster.name, name), name, None, sentence)
    for wanted_group in wanted.node_groups:
        yield from _group(wanted, cluster, wanted_group, there.get(wanted_group.name))
    declared = {*DEFAULTS, *(group.name for group in wanted.node_groups)}
    for group in groups:
        if not cluster.failed:  # its own reason names those of its groups
            yield from _group_status(cluster, group)
        if group.name not in declared and not _leaving(group):
            sentence = f"Cluster {cluster.name} has a node group {group.name} ({group.node_count}) nobody declared."
            where = group_at(cluster.name, group.name)
            yield field(where, "", None, group.name, sentence, Severity.SECURITY, made(group))


def _group(wanted: Variables, cluster: Cluster, declared: Wanted, there: NodeGroup | None) -> Iterator[Finding]:
    where, what = group_at(cluster.name, declared.name), f"Node group {declared.name}"
    if there is None:
        sentence = f"Cluster {cluster.name} has no node group {declared.name}."
        yield whole(where, declared.name, None, sentence)
        return
    yield from _count(where, what, declared.count, bounds(wanted, declared.name), there, there)
    fields: tuple[tuple[str, JsonValue, JsonValue], ...] = (
        ("flavor", declared.flavor, there.flavor_id),
        ("min", declared.min or 0, there.min_node_count),
        ("max", declared.max, there.max_node_count),
        ("role", "worker", there.role),
    )
    for path, value, observed in fields:
        yield from differs(where, what, path, value, observed, there)


def _group_status(cluster: Cluster, group: NodeGroup) -> Iterator[Finding]:
    if (group.status or "").endswith("_FAILED"):
        why = (group.status_reason or "Magnum gives no cause").rstrip(".")
        sentence = f"Node group {group.name} of cluster {cluster.name} is {group.status}: {why}."
        where = group_at(cluster.name, group.name)
        yield field(where, "status", "complete", group.status, sentence, Severity.CONFIG, changed(group))


Bounds = tuple[int, int | None]


def bounds(wanted: Variables, name: str) -> Bounds | None:
    """Between which counts an autoscaler may move a node group; None where nothing moves it.

    A group is scaled where the label auto_scaling_enabled says so, which is what Magnum's drivers go by.
    """
    if wanted.labels.get("auto_scaling_enabled", "").lower() != "true":
        return None
    if name == "default-worker":
        return _label(wanted, "min_node_count") or 1, _label(wanted, "max_node_count")
    group = next((group for group in wanted.node_groups if group.name == name), None)
    return (group.min or 0, group.max) if group else None


def _label(wanted: Variables, name: str) -> int | None:
    text = wanted.labels.get(name, "")
    return int(text) if text.isdecimal() else None


def within(count: int, limits: Bounds | None) -> bool:
    """Whether an autoscaler may have made it so many."""
    return limits is not None and limits[0] <= count and (limits[1] is None or count <= limits[1])


def autoscaled(wanted: Variables, finding: Finding) -> bool:
    """Whether a finding is about a number of nodes that is an autoscaler's to choose."""
    if finding.path != "node_count" or not isinstance(finding.observed, int):
        return False
    name = "default-worker" if finding.address.startswith("cluster/") else finding.address.rsplit("/", 1)[1]
    return within(finding.observed, bounds(wanted, name))


def _count(  # noqa: PLR0917
    where: str, what: str, declared: int, limits: Bounds | None, group: NodeGroup, dated: Dated
) -> Iterator[Finding]:
    count = group.node_count
    if count == declared or within(count, limits):
        return
    if limits is None:
        yield from differs(where, what, "node_count", declared, count, dated)
        return
    span = f"{limits[0]} to {'any number' if limits[1] is None else limits[1]}"
    sentence = f"{what} has {count} nodes, and its autoscaler may make it {span}."
    yield field(where, "node_count", declared, count, sentence, Severity.CONFIG, changed(dated))


def scaled(wanted: Variables, groups: tuple[NodeGroup, ...]) -> Iterator[str]:
    """Say which node groups an autoscaler has moved within its bounds."""
    counts = {"default-worker": wanted.nodes.count} | {group.name: group.count for group in wanted.node_groups}
    for group in groups:
        declared = counts.get(group.name)
        if declared not in (None, group.node_count) and within(group.node_count, bounds(wanted, group.name)):
            yield (
                f"Node group {group.name} has {group.node_count} nodes and {declared} are declared: "
                "its autoscaler may do that."
            )


def _leaving(group: NodeGroup) -> bool:
    return (group.status or "") in ("DELETE_IN_PROGRESS", "DELETE_COMPLETE")
