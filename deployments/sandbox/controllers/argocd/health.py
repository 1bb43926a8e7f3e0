"""Health of objects and of an Application as a whole (gitops-engine/pkg/health). Pure."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from deployments.sandbox.controllers.kube.objects import condition, deleting, is_true
from deployments.sandbox.controllers.kube.resources import Obj

Health = tuple[str, str]
"""Status and message."""

WORST = ("Healthy", "Suspended", "Progressing", "Missing", "Degraded", "Unknown")


def health_of(live: Obj | None) -> Health | None:
    """The health of one object; None where its kind has none."""
    if live is None:
        return "Missing", ""
    if deleting(live):
        return "Progressing", "Pending deletion"
    check = CHECKS.get(live.get("kind", ""))
    return check(live) if check is not None else None


def worst(found: Iterable[str]) -> str:
    """The Application's health: the worst of its objects'."""
    return max(found, key=WORST.index, default="Healthy")


def _number(live: Obj, field: str) -> int:
    return int((live.get("status") or {}).get(field) or 0)


def _workload(live: Obj) -> Health:
    spec = live["spec"]
    if spec.get("paused"):
        return "Suspended", "The rollout is paused"
    if _number(live, "observedGeneration") < live["metadata"].get("generation", 0):
        return "Progressing", "Waiting for rollout to finish: observed generation less than desired generation"
    if (condition(live, "Progressing") or {}).get("reason") == "ProgressDeadlineExceeded":
        return "Degraded", f'{live["kind"]} "{live["metadata"]["name"]}" exceeded its progress deadline'
    of_nodes = live["kind"] == "DaemonSet"
    wanted = _number(live, "desiredNumberScheduled") if of_nodes else spec.get("replicas", 1)
    for field in WORKLOADS[live["kind"]]:
        if _number(live, field) < wanted:
            return "Progressing", f"Waiting for rollout to finish: {field} is {_number(live, field)} out of {wanted}"
    if live["kind"] == "Deployment" and _number(live, "replicas") > _number(live, "updatedReplicas"):
        return "Progressing", "Waiting for rollout to finish: old replicas are pending termination..."
    return "Healthy", ""


def _job(live: Obj) -> Health:
    if is_true(live, "Failed"):
        return "Degraded", (condition(live, "Failed") or {}).get("message", "")
    if live["spec"].get("suspend"):
        return "Suspended", ""
    return ("Healthy", "") if is_true(live, "Complete") else ("Progressing", "")


def _addressed(live: Obj) -> Health:
    if live["kind"] == "Service" and live["spec"].get("type") != "LoadBalancer":
        return "Healthy", ""
    given = ((live.get("status") or {}).get("loadBalancer") or {}).get("ingress")
    return ("Healthy", "") if given else ("Progressing", "")


def _claim(live: Obj) -> Health:
    phases = {"Bound": "Healthy", "Lost": "Degraded", "Pending": "Progressing"}
    return phases.get((live.get("status") or {}).get("phase", ""), "Unknown"), ""


def _pod(live: Obj) -> Health:
    status = live.get("status") or {}
    waiting = [(each.get("state") or {}).get("waiting") or {} for each in status.get("containerStatuses") or []]
    bad = next((each for each in waiting if each.get("reason", "").endswith(("BackOff", "Error"))), None)
    if bad is not None:
        return "Degraded", bad.get("message", "")
    if status.get("phase") == "Succeeded" or (status.get("phase") == "Running" and is_true(live, "Ready")):
        return "Healthy", ""
    return ("Degraded", status.get("message", "")) if status.get("phase") == "Failed" else ("Progressing", "")


def _ready_condition(live: Obj) -> Health:
    said = condition(live, "Ready")
    if said is None:
        return "Progressing", ""
    word = "Healthy" if said["status"] == "True" else "Degraded"
    if word == "Degraded" and is_true(live, "Issuing"):
        word = "Progressing"
    return word, said.get("message", "")


WORKLOADS = {
    "Deployment": ("updatedReplicas", "availableReplicas"),
    "StatefulSet": ("readyReplicas", "updatedReplicas"),
    "DaemonSet": ("updatedNumberScheduled", "numberAvailable"),
}
"""What of a workload's status has to reach the number that is wanted."""
CHECKS: dict[str, Callable[[Obj], Health]] = {
    **dict.fromkeys(WORKLOADS, _workload),
    "Job": _job,
    "Service": _addressed,
    "Ingress": _addressed,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "Certificate": _ready_condition,
    "Issuer": _ready_condition,
    "ClusterIssuer": _ready_condition,
}
