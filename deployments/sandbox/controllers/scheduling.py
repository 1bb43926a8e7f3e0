"""Where a pod may run: node selectors, affinity, taints, claims. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from deployments.sandbox.controllers.kube.objects import deleting, expression_holds, is_true, labels
from deployments.sandbox.controllers.kube.resources import Obj


def choose(pod: Obj, nodes: Iterable[Obj], placed: Iterable[Obj]) -> Obj | None:
    """The fitting node with the fewest pods on it, or None."""
    load = Counter(each["spec"].get("nodeName") for each in placed)
    fitting = [node for node in nodes if why_not(pod, node) is None]
    return min(fitting, key=lambda node: (load[node["metadata"]["name"]], node["metadata"]["name"]), default=None)


def refusal(pod: Obj, nodes: list[Obj]) -> str:
    """Why no node took the pod, in the scheduler's words."""
    reasons = Counter(filter(None, (why_not(pod, node) for node in nodes)))
    said = ", ".join(f"{count} {reason}" for reason, count in sorted(reasons.items()))
    return f"0/{len(nodes)} nodes are available" + (f": {said}." if said else ".")


def why_not(pod: Obj, node: Obj) -> str | None:
    """Why the node does not suit the pod; None where it does."""
    spec = pod["spec"]
    if deleting(node) or not is_true(node, "Ready"):
        return "node(s) were not ready"
    if (node.get("spec") or {}).get("unschedulable") and not _is_daemon(pod):
        return "node(s) were unschedulable"
    wanted = spec.get("nodeSelector") or {}
    if any(labels(node).get(name) != value for name, value in wanted.items()) or not _affine(spec, node):
        return "node(s) didn't match Pod's node affinity/selector"
    for taint in (node.get("spec") or {}).get("taints") or []:
        if taint["effect"] == "PreferNoSchedule":
            continue
        if not any(tolerates(each, taint) for each in spec.get("tolerations") or []):
            return f"node(s) had untolerated taint {{{taint['key']}: {taint.get('value', '')}}}"
    return None


def tolerates(toleration: Mapping[str, Any], taint: Mapping[str, Any]) -> bool:
    """Whether a toleration covers a taint."""
    if toleration.get("effect") and toleration["effect"] != taint["effect"]:
        return False
    if not toleration.get("key"):
        return bool(toleration.get("operator") == "Exists")
    if toleration["key"] != taint["key"]:
        return False
    return toleration.get("operator") == "Exists" or toleration.get("value", "") == taint.get("value", "")


def _affine(spec: Obj, node: Obj) -> bool:
    affinity = ((spec.get("affinity") or {}).get("nodeAffinity") or {}).get(
        "requiredDuringSchedulingIgnoredDuringExecution"
    )
    if not affinity:
        return True
    fields = {"metadata.name": node["metadata"]["name"]}
    return any(
        all(expression_holds(each, labels(node)) for each in term.get("matchExpressions") or [])
        and all(expression_holds(each, fields) for each in term.get("matchFields") or [])
        for term in affinity["nodeSelectorTerms"]
        if term.get("matchExpressions") or term.get("matchFields")
    )


def _is_daemon(pod: Obj) -> bool:
    return any(each.get("kind") == "DaemonSet" for each in pod["metadata"].get("ownerReferences") or [])


def claims_of(pod: Obj) -> list[str]:
    """The names of the PersistentVolumeClaims the pod mounts."""
    return [
        volume["persistentVolumeClaim"]["claimName"]
        for volume in pod["spec"].get("volumes") or []
        if volume.get("persistentVolumeClaim")
    ]


def references(pod: Obj) -> set[tuple[str, str]]:
    """What the pod cannot start without: (`Secret` or `ConfigMap`, name), optional ones left out."""
    found: set[tuple[str, str]] = set()
    for volume in pod["spec"].get("volumes") or []:
        secret, config = volume.get("secret"), volume.get("configMap")
        if secret and not secret.get("optional"):
            found.add(("Secret", secret["secretName"]))
        if config and not config.get("optional"):
            found.add(("ConfigMap", config["name"]))
    containers = [*(pod["spec"].get("initContainers") or []), *pod["spec"]["containers"]]
    for source in [each for container in containers for each in container.get("envFrom") or []]:
        found |= _named(source.get("secretRef"), "Secret") | _named(source.get("configMapRef"), "ConfigMap")
    for variable in [each for container in containers for each in container.get("env") or []]:
        source = variable.get("valueFrom") or {}
        found |= _named(source.get("secretKeyRef"), "Secret") | _named(source.get("configMapKeyRef"), "ConfigMap")
    return found


def _named(reference: Obj | None, kind: str) -> set[tuple[str, str]]:
    return {(kind, reference["name"])} if reference and not reference.get("optional") else set()
