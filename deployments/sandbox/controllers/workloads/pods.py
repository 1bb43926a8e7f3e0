"""Pods as workload controllers see them: which are theirs, which count, how one is made from a template."""

from __future__ import annotations

import copy
import secrets
from collections.abc import Iterable

from deployments.sandbox.controllers.kube.informer import Informer
from deployments.sandbox.controllers.kube.objects import deleting, is_true, key_of, owned_by, owner, owner_reference
from deployments.sandbox.controllers.kube.resources import Key, Obj, Resource

NAME_LETTERS = "bcdfghjklmnpqrstvwxz2456789"


def random_suffix() -> str:
    """Five letters such as generateName appends."""
    return "".join(secrets.choice(NAME_LETTERS) for _ in range(5))


def from_template(
    template: Obj,
    parent: Obj,
    resource: Resource,
    *,
    name: str,
    labels: dict[str, str] | None = None,
) -> Obj:
    """A pod of a template, owned by its workload."""
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "name": name,
            "namespace": parent["metadata"]["namespace"],
            "labels": {**(metadata.get("labels") or {}), **(labels or {})},
            "annotations": dict(metadata.get("annotations") or {}),
            "ownerReferences": [owner_reference(parent, resource)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def owned(pods: Informer, parent: Obj) -> list[Obj]:
    """The pods a workload is in charge of."""
    uid = parent["metadata"]["uid"]
    return [pod for pod in pods.all(parent["metadata"]["namespace"]) if owned_by(pod, uid)]


def active(pods: Iterable[Obj]) -> list[Obj]:
    """Those that run or will: neither ended nor going."""
    return [pod for pod in pods if not deleting(pod) and phase(pod) not in {"Succeeded", "Failed"}]


def phase(pod: Obj) -> str:
    """The pod's phase."""
    return str((pod.get("status") or {}).get("phase", "Pending"))


def ready(pods: Iterable[Obj]) -> int:
    """How many serve."""
    return sum(1 for pod in pods if is_true(pod, "Ready"))


def surplus(pods: list[Obj], count: int) -> list[Obj]:
    """The `count` pods to give up first: those that do not serve, then the youngest."""
    order = sorted(pods, key=lambda pod: pod["metadata"]["creationTimestamp"], reverse=True)
    return sorted(order, key=lambda pod: is_true(pod, "Ready"))[:count]


def parent_key(obj: Obj, kind: str) -> list[Key]:
    """The key of the owner in charge, where it is of this kind: a mapper for `Controller.on`."""
    reference = owner(obj)
    if reference is None or reference["kind"] != kind:
        return []
    return [(key_of(obj)[0], reference["name"])]
