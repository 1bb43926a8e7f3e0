"""How a Deployment moves from old ReplicaSets to the new one. Pure.

The arithmetic is that of kubernetes/pkg/controller/deployment/{rolling,recreate}.go.
"""

from __future__ import annotations

import math
from typing import Any

from deployments.sandbox.controllers.kube.objects import annotated, parse_stamp, set_condition, short_hash
from deployments.sandbox.controllers.kube.resources import Obj

HASH_LABEL = "pod-template-hash"
REVISION = "deployment.kubernetes.io/revision"


def template_hash(template: Obj, collisions: int = 0) -> str:
    """The hash that names a template's ReplicaSet."""
    return short_hash(bare(template), collisions)


def bare(template: Obj) -> Obj:
    """A template without the hash label a ReplicaSet adds."""
    metadata = dict(template.get("metadata") or {})
    found = {name: value for name, value in (metadata.get("labels") or {}).items() if name != HASH_LABEL}
    metadata = {name: value for name, value in metadata.items() if value} | {"labels": found}
    metadata.pop("creationTimestamp", None)
    return {**template, "metadata": metadata}


def newest(deployment: Obj, sets: list[Obj]) -> Obj | None:
    """The ReplicaSet with the Deployment's template; the oldest of several."""
    wanted = bare(deployment["spec"]["template"])
    same = [each for each in sets if bare(each["spec"]["template"]) == wanted]
    return min(same, key=lambda each: each["metadata"]["creationTimestamp"], default=None)


def revision(obj: Obj) -> int:
    """A ReplicaSet's revision; 0 where it has none."""
    return int(annotated(obj).get(REVISION, "0"))


def share(value: int | str | None, total: int, *, up: bool) -> int:
    """An absolute number for `25%` or `2` of `total`."""
    if value is None:
        return 0
    if isinstance(value, str) and value.endswith("%"):
        part = total * int(value[:-1]) / 100
        return math.ceil(part) if up else math.floor(part)
    return int(value)


def bounds(deployment: Obj) -> tuple[int, int]:
    """maxSurge and maxUnavailable as numbers; both zero would never move, so then one may be unavailable."""
    wanted = deployment["spec"].get("replicas", 1)
    rolling = (deployment["spec"].get("strategy") or {}).get("rollingUpdate") or {}
    surge = share(rolling.get("maxSurge", "25%"), wanted, up=True)
    unavailable = share(rolling.get("maxUnavailable", "25%"), wanted, up=False)
    return surge, unavailable if surge or unavailable else 1


def plan(deployment: Obj, new: Obj, olds: list[Obj]) -> dict[str, int]:
    """The next replica counts by ReplicaSet name; those that stay as they are left out."""
    wanted = deployment["spec"].get("replicas", 1)
    if (deployment["spec"].get("strategy") or {}).get("type") == "Recreate":
        counts = _recreate(wanted, new, olds)
    else:
        counts = _rolling(deployment, wanted, new, olds)
    now = {each["metadata"]["name"]: asked(each) for each in (new, *olds)}
    return {name: count for name, count in counts.items() if count != now[name]}


def _recreate(wanted: int, new: Obj, olds: list[Obj]) -> dict[str, int]:
    if any(status(each, "replicas") or asked(each) for each in olds):
        return {each["metadata"]["name"]: 0 for each in olds}
    return {new["metadata"]["name"]: wanted}


def _rolling(deployment: Obj, wanted: int, new: Obj, olds: list[Obj]) -> dict[str, int]:
    surge, unavailable = bounds(deployment)
    counts: dict[str, int] = {}
    total = asked(new) + sum(asked(each) for each in olds)
    if asked(new) >= wanted:
        counts[new["metadata"]["name"]] = wanted
    else:
        room = max(0, wanted + surge - total)
        counts[new["metadata"]["name"]] = min(asked(new) + room, wanted)
    least = wanted - unavailable
    missing_new = asked(new) - status(new, "availableReplicas")
    budget = total - least - missing_new
    serving = status(new, "availableReplicas") + sum(status(each, "availableReplicas") for each in olds)
    spare = serving - least
    for old in sorted(olds, key=lambda each: each["metadata"]["creationTimestamp"]):
        broken = min(asked(old) - status(old, "availableReplicas"), max(0, budget))
        healthy = min(asked(old) - broken, max(0, min(spare, budget - broken)))
        counts[old["metadata"]["name"]] = asked(old) - broken - healthy
        budget -= broken + healthy
        spare -= healthy
    return counts


def asked(replica_set: Obj) -> int:
    """The replicas a ReplicaSet is asked for."""
    return int(replica_set["spec"].get("replicas", 1))


def status(obj: Obj, field: str) -> int:
    """A number in the status."""
    return int((obj.get("status") or {}).get(field) or 0)


def deployment_status(deployment: Obj, new: Obj | None, olds: list[Obj]) -> Obj:
    """The Deployment's status for the ReplicaSets there are."""
    sets = [*([new] if new else []), *olds]
    wanted = deployment["spec"].get("replicas", 1)
    serving = sum(status(each, "availableReplicas") for each in sets)
    replicas = sum(status(each, "replicas") for each in sets)
    updated = status(new, "replicas") if new else 0
    _, unavailable = bounds(deployment)
    conditions: Any = (deployment.get("status") or {}).get("conditions")
    if serving >= wanted - unavailable:
        conditions = set_condition(
            conditions, "Available", True, "MinimumReplicasAvailable", "Deployment has minimum availability."
        )
    else:
        message = "Deployment does not have minimum availability."
        conditions = set_condition(conditions, "Available", False, "MinimumReplicasUnavailable", message)
    complete = updated == wanted and replicas == wanted and serving >= wanted
    name = new["metadata"]["name"] if new else ""
    return {
        "observedGeneration": deployment["metadata"].get("generation", 1),
        "replicas": replicas or None,
        "updatedReplicas": updated or None,
        "readyReplicas": sum(status(each, "readyReplicas") for each in sets) or None,
        "availableReplicas": serving or None,
        "unavailableReplicas": max(0, max(replicas, wanted) - serving) or None,
        "conditions": _progressing(conditions, name, complete=complete),
    }


def _progressing(conditions: list[Obj], name: str, *, complete: bool) -> list[Obj]:
    if complete:
        message = f'ReplicaSet "{name}" has successfully progressed.'
        return set_condition(conditions, "Progressing", True, "NewReplicaSetAvailable", message)
    known = next((each for each in conditions if each["type"] == "Progressing"), None)
    if known is not None and known["reason"] == "ProgressDeadlineExceeded" and name in known["message"]:
        return conditions
    message = f'ReplicaSet "{name}" is progressing.'
    return set_condition(conditions, "Progressing", True, "ReplicaSetUpdated", message)


def stalled(deployment: Obj, new: Obj, now_seconds: float) -> float | None:
    """Seconds until the rollout misses its deadline (0 or less: it has), or None where it is not under way."""
    known = next(
        (
            each
            for each in (deployment.get("status") or {}).get("conditions") or []
            if each["type"] == "Progressing" and each["reason"] == "ReplicaSetUpdated"
        ),
        None,
    )
    if known is None:
        return None
    began = parse_stamp(new["metadata"]["creationTimestamp"]).timestamp()
    since = max(began, parse_stamp(known["lastTransitionTime"]).timestamp())
    return since + float(deployment["spec"].get("progressDeadlineSeconds", 600)) - now_seconds
