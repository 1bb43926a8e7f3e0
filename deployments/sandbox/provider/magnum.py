"""What clusters, node groups and templates share: paths, microversions, statuses, Magnum's oddities."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from typing import Any

from deployments.sandbox.provider.cloud import Cloud
from deployments.sandbox.provider.waits import Goal, wait_for

SERVICE = "container-infra"
UPGRADE = "1.8"
NODE_GROUPS = "1.9"
ZERO_NODES = "1.10"

FAILED = ("CREATE_FAILED", "UPDATE_FAILED", "DELETE_FAILED", "RESUME_FAILED", "ROLLBACK_FAILED")

Document = dict[str, Any]


def cluster(cloud: Cloud, identifier: str) -> Document:
    """A cluster as Magnum gives it."""
    return dict(cloud.get(SERVICE, f"/clusters/{identifier}"))


def node_group(cloud: Cloud, cluster_id: str, identifier: str) -> Document:
    """A node group as Magnum gives it."""
    return dict(cloud.get(SERVICE, f"/clusters/{cluster_id}/nodegroups/{identifier}", microversion=NODE_GROUPS))


def node_groups(cloud: Cloud, cluster_id: str) -> list[Document]:
    """The node groups of a cluster; the list is short, and not paged by Magnum's default limit of 1000."""
    answer = cloud.get(SERVICE, f"/clusters/{cluster_id}/nodegroups", microversion=NODE_GROUPS)
    return list(answer["nodegroups"])


def default_workers(cloud: Cloud, cluster_id: str) -> Document | None:
    """The node group `node_count` of a cluster stands for."""
    groups = node_groups(cloud, cluster_id)
    return next((group for group in groups if group.get("is_default") and group.get("role") != "master"), None)


def wait_idle(cloud: Cloud, cluster_id: str, timeout: float) -> Document:
    """Wait while an operation runs on the cluster, and return it.

    Magnum answers 202 to a PATCH during UPDATE_IN_PROGRESS and then drops it; drivers do not stand two operations
    at once either.
    """

    def look() -> Document:
        document = cluster(cloud, cluster_id)
        busy = str(document.get("status") or "").endswith("_IN_PROGRESS")
        return document | {"settled": document, "status": "busy" if busy else "idle"}

    settled: Document = wait_for(cloud, look, Goal("openstack_containerinfra_cluster_v1", "idle", ()), timeout)
    return dict(settled["settled"])


def since(before: Mapping[str, Any]) -> Callable[[Document], bool]:
    """Tells a status that is news from the one that stood before the change was accepted.

    After 202 the old *_COMPLETE shows for a moment longer.
    """

    def is_news(document: Document) -> bool:
        return any(document.get(key) != before.get(key) for key in ("status", "updated_at"))

    return is_news


def merged_labels(document: Mapping[str, Any]) -> dict[str, str]:
    """Labels that were given with merge_labels: what differs from the parent's."""
    labels = document.get("labels") or {}
    merged = {**(document.get("labels_added") or {}), **(document.get("labels_skipped") or {})}
    merged.update({name: labels[name] for name in document.get("labels_overridden") or {} if name in labels})
    return {name: str(value) for name, value in merged.items()}


def read_labels(document: Mapping[str, Any], *, merge: bool) -> dict[str, str]:
    """The labels to keep in the state."""
    if merge:
        return merged_labels(document)
    return {name: str(value) for name, value in (document.get("labels") or {}).items()}


def patch(path: str, value: Any) -> dict[str, Any]:
    """One step of a JSON patch in the form Magnum takes: text values, and `remove` for nothing."""
    if value in (None, "", {}):
        return {"op": "remove", "path": path}
    if isinstance(value, bool):
        value = "true" if value else "false"
    elif isinstance(value, dict):
        value = json.dumps(value, sort_keys=True).replace('"', "'")
    return {"op": "replace", "path": path, "value": str(value)}
