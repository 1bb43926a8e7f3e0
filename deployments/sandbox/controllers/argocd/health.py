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


def _observed(live: Obj) -> bool:
    seen = (live.get("status") or {}).get("observedGeneration", 0)
    return bool(seen >= live["metadata"].get("generation", 0))


def _number(live: Obj, field: str) -> int:
    return int((live.get("status") or {}).get(field) or 0)


def _deployment(live: Obj) -> Health:
    if live["spec"].get("paused"):
        return "Suspended", "Deployment is paused"
    said = condition(live, "Progressing")
    if _observed(live) and said is not None and said.get("reason") == "ProgressDeadlineExceeded":
        return "Degraded", f'Deployment "{live["metadata"]["name"]}" exceeded its progress deadline'
    waiting = _rollout(live)
    return ("Progressing", f"Waiting for rollout to finish: {waiting}") if waiting else ("Healthy", "")


def _rollout(live: Obj) -> str:
    """What a Deployment's rollout waits for; nothing where it is over."""
    wanted, updated = live["spec"].get("replicas", 1), _number(live, "updatedReplicas")
    if not _observed(live):
        return "observed deployment generation less than desired generation"
    if updated < wanted:
        return f"{updated} out of {wanted} new replicas have been updated..."
    if _number(live, "replicas") > updated:
        return "old replicas are pending termination..."
    return "updated replicas are not available yet..." if _number(live, "availableReplicas") < updated else ""


def _stateful_set(live: Obj) -> Health:
    wanted = live["spec"].get("replicas", 1)
    if not _observed(live):
        return "Progressing", "Waiting for statefulset spec update to be observed..."
    if _number(live, "readyReplicas") < wanted:
        return "Progressing", f"Waiting for {wanted - _number(live, 'readyReplicas')} pods to be ready..."
    if _number(live, "updatedReplicas") < wanted:
        return "Progressing", "waiting for statefulset rolling update to complete"
    return "Healthy", ""


def _daemon_set(live: Obj) -> Health:
    wanted = _number(live, "desiredNumberScheduled")
    if not _observed(live):
        return (
            "Progressing",
            "Waiting for rollout to finish: observed daemon set generation less than desired generation",
        )
    if _number(live, "updatedNumberScheduled") < wanted or _number(live, "numberAvailable") < wanted:
        return "Progressing", "Waiting for daemon set rollout to finish"
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


CHECKS: dict[str, Callable[[Obj], Health]] = {
    "Deployment": _deployment,
    "StatefulSet": _stateful_set,
    "DaemonSet": _daemon_set,
    "Job": _job,
    "Service": _addressed,
    "Ingress": _addressed,
    "PersistentVolumeClaim": _claim,
    "Pod": _pod,
    "Certificate": _ready_condition,
    "Issuer": _ready_condition,
    "ClusterIssuer": _ready_condition,
}
