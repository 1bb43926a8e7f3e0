"""Removing what Helm forgets.

An upgrade removes what the last *deployed* revision had and the new one has not. Objects that a revision made which
failed or was killed, and which the next chart or values no longer have, stay for ever: measured with Helm 3 and 4 on a
real API server, and the reason why its manual recommends a rollback first.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from infra.clients.helm_records import HelmRelease
from infra.clients.kubernetes import KubernetesClient, Object

Key = tuple[str, str, str, str]
"""API group, kind, namespace and name: an object keeps its identity when its API version changes."""


def forgotten(history: Sequence[HelmRelease]) -> list[Object]:
    """The objects of revisions since the last deployed one that the newest, deployed revision does not have.

    Args:
        history: oldest first; without a deployed newest revision nothing is known to be superfluous.
    """
    if not history or history[-1].status != "deployed":
        return []
    latest = history[-1]
    kept = {_key(item, latest.namespace) for item in latest.objects()}
    found: dict[Key, Object] = {}
    for revision in reversed(history[:-1]):
        if _was_deployed(revision):
            break
        for item in revision.objects():
            key = _key(item, latest.namespace)
            if key not in kept and not _stays(item):
                found[key] = item
    return list(found.values())


async def left_behind(kubernetes: KubernetesClient, history: Sequence[HelmRelease]) -> list[Object]:
    """The live objects that `forgotten` names and that by Helm's own annotations belong to the release: reads only."""
    found = []
    for item in forgotten(history):
        namespace = item["metadata"].get("namespace") or history[-1].namespace
        live = await kubernetes.get(item["apiVersion"], item["kind"], item["metadata"]["name"], namespace)
        if live is not None and _owned(live, history[-1]) and not _stays(live):
            found.append(live)
    return found


async def prune(kubernetes: KubernetesClient, history: Sequence[HelmRelease]) -> tuple[str, ...]:
    """Delete what was left behind, and return what that was."""
    deleted = []
    for live in await left_behind(kubernetes, history):
        kind, metadata = live["kind"], live["metadata"]
        namespace = metadata.get("namespace")
        if await kubernetes.delete(live["apiVersion"], kind, metadata["name"], namespace, uid=metadata["uid"]):
            deleted.append(f"{kind} {f'{namespace}/' if namespace else ''}{metadata['name']}")
    return tuple(deleted)


def _was_deployed(revision: HelmRelease) -> bool:
    """Helm marks only revisions that were deployed once as superseded, except first installs that were upgraded over.

    Those carry the words of their failure, or ours.
    """
    words = revision.description.lower()
    failed = "failed" in words or "ended before it was done" in words
    return revision.status in ("deployed", "superseded") and not failed


def _owned(live: Object, release: HelmRelease) -> bool:
    notes: dict[str, Any] = live["metadata"].get("annotations") or {}
    return (notes.get("meta.helm.sh/release-name"), notes.get("meta.helm.sh/release-namespace")) == (
        release.name,
        release.namespace,
    )


def _stays(item: Object) -> bool:
    return (item["metadata"].get("annotations") or {}).get("helm.sh/resource-policy") == "keep"


def _key(item: Object, namespace: str) -> Key:
    group = item["apiVersion"].rpartition("/")[0]
    return group, item["kind"], item["metadata"].get("namespace") or namespace, item["metadata"]["name"]
