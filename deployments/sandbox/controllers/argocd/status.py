"""An Application's status. Pure."""

from __future__ import annotations

from dataclasses import dataclass, field

from deployments.sandbox.controllers.argocd.apply import Comparison, Identity
from deployments.sandbox.controllers.argocd.health import health_of, worst
from deployments.sandbox.controllers.kube.objects import now
from deployments.sandbox.controllers.kube.resources import Obj

HISTORY = 10


@dataclass
class View:
    """What one look at an Application found."""

    source: Obj
    destination: Obj
    commit: str = ""
    found: list[Comparison] = field(default_factory=list)
    extra: list[Identity] = field(default_factory=list)
    """Objects that are the Application's and not in git any more."""
    errors: list[tuple[str, str]] = field(default_factory=list)
    """Condition types and sentences: why nothing could be said."""

    @property
    def synced(self) -> bool:
        """Whether the cluster is as git wants it."""
        return not self.errors and not self.extra and not any(each.differs for each in self.found)

    @property
    def word(self) -> str:
        """The sync status."""
        return "Unknown" if self.errors else "Synced" if self.synced else "OutOfSync"


def fold(view: View, before: Obj) -> Obj:
    """The status for what was found."""
    comparisons = [] if view.errors else view.found
    resources = [_entry(each) for each in comparisons]
    resources += [{**each.entry(), "status": "OutOfSync", "requiresPruning": True} for each in view.extra]
    words = [each["health"]["status"] for each in resources if "health" in each]
    word = "Unknown" if view.errors else worst(words)
    known = before.get("health") or {}
    moved = known.get("status") != word
    status: Obj = {
        "sync": {
            "status": view.word,
            "revision": view.commit,
            "comparedTo": {"source": view.source, "destination": view.destination},
        },
        "health": {"status": word, "lastTransitionTime": now() if moved else known.get("lastTransitionTime", now())},
        "resources": resources if not view.errors else before.get("resources"),
        "conditions": _conditions(view, before),
        "sourceType": "Directory",
    }
    images = sorted({image for each in comparisons for image in _images(each.wanted)})
    status["summary"] = {"images": images} if images else {}
    return status


def operation(view: View, before: Obj, *, began: str, results: list[Obj], message: str) -> Obj:
    """The state of a finished sync operation."""
    failed = bool(message)
    prune = [each for each in results if each.get("status") == "Pruned"]
    state: Obj = {
        "phase": "Failed" if failed else "Succeeded",
        "message": message or "successfully synced (all tasks run)",
        "startedAt": began,
        "finishedAt": now(),
        "syncResult": {"revision": view.commit, "resources": results, "source": view.source},
        "operation": {
            "sync": {"revision": view.commit, **({"prune": True} if prune else {})},
            "initiatedBy": {"automated": True},
        },
    }
    changed: Obj = {"operationState": state}
    if not failed:
        history = list(before.get("history") or [])
        number = max((each["id"] for each in history), default=-1) + 1
        entry = {"id": number, "revision": view.commit, "deployStartedAt": began, "deployedAt": now()}
        changed["history"] = [*history, entry | {"source": view.source}][-HISTORY:]
    return changed


def result(which: Identity, status: str, message: str) -> Obj:
    """One object's part in a sync operation."""
    return {
        **which.entry(),
        "group": which.group,
        "namespace": which.namespace,
        "status": status,
        "message": message,
        "hookPhase": "Running" if status == "Synced" else "Succeeded",
        "syncPhase": "Sync",
    }


def _entry(found: Comparison) -> Obj:
    entry = {**found.identity.entry(), "status": "OutOfSync" if found.differs else "Synced"}
    health = health_of(found.live)
    if health is not None:
        entry["health"] = {"status": health[0]} | ({"message": health[1]} if health[1] else {})
    return entry


def _conditions(view: View, before: Obj) -> list[Obj]:
    known = {(each["type"], each["message"]): each for each in before.get("conditions") or []}
    return [
        known.get((kind, text)) or {"type": kind, "message": text, "lastTransitionTime": now()}
        for kind, text in view.errors
    ]


def _images(manifest: Obj) -> list[str]:
    template = (manifest.get("spec") or {}).get("template") or {}
    containers = (template.get("spec") or {}).get("containers") or []
    return [each["image"] for each in containers if each.get("image")]
