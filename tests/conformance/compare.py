"""Compare answers of the two servers, knowing what Kubernetes 1.20 (the real one here) did not have yet.

Every entry is a difference between Kubernetes versions, not between the servers;
deployments/sandbox/kubernetes/DIFFERENCES.md
lists them with their reasons.
"""

from __future__ import annotations

import copy
from typing import Any

from tests.conformance.harness import settled

Object = dict[str, Any]

NEWER: dict[str, list[str]] = {
    "Service": ["spec.internalTrafficPolicy", "spec.ipFamilies", "spec.ipFamilyPolicy",
        "spec.allocateLoadBalancerNodePorts"],
    "StatefulSet": ["spec.persistentVolumeClaimRetentionPolicy", "status.availableReplicas"],
    "DaemonSet": ["spec.updateStrategy.rollingUpdate.maxSurge"],
    "Job": ["metadata.generation", "metadata.labels", "spec.completionMode", "spec.podReplacementPolicy",
        "spec.suspend",
            "spec.selector", "spec.template.metadata.labels"],
    "PersistentVolume": ["status.lastPhaseTransitionTime"],
    "PodTemplate": ["metadata.generation"],
    "CSIDriver": ["spec.requiresRepublish", "spec.storageCapacity"],
    "Namespace": ["metadata.labels"],
}  # fmt: skip
"""Fields Kubernetes gained, or fills differently, since 1.20."""

ATOMIC = ("involvedObject", "fieldRef", "secretKeyRef", "imagePullSecrets", "selector", "roleRef")
"""Structs that are owned as a whole since 1.21: their members no longer show in managedFields."""


def _drop(item: Object, path: list[str]) -> None:
    for name in path[:-1]:
        item = item.get(name) or {}
    item.pop(path[-1], None)


def _coarse(fields: Object) -> Object:
    """fieldsV1 with whatever lies below an atomic struct folded away."""
    out = {}
    for key, value in fields.items():
        out[key] = {} if key.removeprefix("f:") in ATOMIC else _coarse(value)
    return out


def comparable(item: Object) -> Object:
    """An answer reduced to what both versions should agree on."""
    item = settled(item)
    kind = item.get("kind", "")
    for path in NEWER.get(kind, ()):
        _drop(item, path.split("."))
    entries = item.get("metadata", {}).get("managedFields")
    for entry in entries or ():
        fields = copy.deepcopy(entry.get("fieldsV1") or {})
        for path in NEWER.get(kind, ()):
            _drop(fields, [f"f:{part}" for part in path.split(".")])
        # Since 1.22 a write through the main resource does not own status, which the server resets.
        fields.pop("f:status", None)
        entry["fieldsV1"] = _coarse(fields)
    if item.get("kind") == "Status":
        return _status(item)
    return item


def _status(item: Object) -> Object:
    """A refusal as code, reason and the fields that are wrong; values are shown in Go syntax by one server only."""
    details = item.get("details") or {}
    causes = sorted((cause.get("reason", ""), cause.get("field", "")) for cause in details.get("causes") or ())
    return {"code": item.get("code"), "reason": item.get("reason"), "status": item["status"], "causes": causes,
            "name": details.get("name")}  # fmt: skip


def differences(left: Any, right: Any, path: str = "") -> list[str]:
    """Where two values differ, one line each."""
    if isinstance(left, dict) and isinstance(right, dict):
        found = []
        for key in sorted(left.keys() | right.keys()):
            below = f"{path}.{key}"
            if key not in left:
                found.append(f"{below}: only the real server has {right[key]!r}")
            elif key not in right:
                found.append(f"{below}: only the embedded server has {left[key]!r}")
            else:
                found += differences(left[key], right[key], below)
        return found
    if isinstance(left, list) and isinstance(right, list) and len(left) == len(right):
        return [
            line
            for place, two in enumerate(zip(left, right, strict=True))
            for line in differences(*two, f"{path}[{place}]")
        ]
    return [] if left == right else [f"{path}: embedded {left!r}, real {right!r}"]


Ask = Any
"""What to ask one server: a function of a Cluster (lambdas that bind loop variables have no simpler type)."""


def same(pair: Any, ask: Ask) -> tuple[Any, Any]:
    """Ask both servers, and insist on the same status code and the same answer."""
    ours, theirs = ask(pair.embedded), ask(pair.real)
    assert ours.status_code == theirs.status_code, f"embedded: {ours.text[:600]}\nreal: {theirs.text[:600]}"
    found = differences(comparable(ours.json()), comparable(theirs.json()))
    assert not found, "\n".join(found)
    return ours, theirs
