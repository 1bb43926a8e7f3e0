"""What may not change once an object exists."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from deployments.sandbox.kubernetes import quantity
from deployments.sandbox.kubernetes.errors import Cause, field_forbidden, invalid_value
from deployments.sandbox.kubernetes.wire import copy

Object = dict[str, Any]
IMMUTABLE = "field is immutable"


def _fixed(old: Object, new: Object, *paths: str) -> list[Cause]:
    """`field is immutable` for every dotted path that differs."""
    causes = []
    for path in paths:
        before, after = _at(old, path), _at(new, path)
        if before != after:
            causes.append(invalid_value(path, after, IMMUTABLE))
    return causes


def _at(item: Any, path: str) -> Any:
    for part in path.split("."):
        item = item.get(part) if isinstance(item, dict) else None
    return item


def selector(old: Object, new: Object) -> list[Cause]:
    return _fixed(old, new, "spec.selector")


def stateful_set(old: Object, new: Object) -> list[Cause]:
    free = ("replicas", "ordinals", "template", "updateStrategy", "persistentVolumeClaimRetentionPolicy",
            "minReadySeconds", "revisionHistoryLimit")  # fmt: skip
    before = {key: value for key, value in old["spec"].items() if key not in free}
    after = {key: value for key, value in new["spec"].items() if key not in free}
    if before == after:
        return []
    text = (
        "updates to statefulset spec for fields other than 'replicas', 'ordinals', 'template', 'updateStrategy', "
        "'revisionHistoryLimit', 'persistentVolumeClaimRetentionPolicy' and 'minReadySeconds' are forbidden"
    )
    return [field_forbidden("spec", text)]


def job(old: Object, new: Object) -> list[Cause]:
    suspended = bool(old["spec"].get("suspend")) and "startTime" not in (old.get("status") or {})
    paths = ["spec.selector", "spec.completionMode"]
    if not suspended:
        paths += ["spec.template"]
    if old["spec"].get("completionMode") != "Indexed":
        paths += ["spec.completions"]
    return _fixed(old, new, *paths)


def pod(old: Object, new: Object) -> list[Cause]:
    """Only images, the deadline, a few tolerations and the node (once) may change."""

    def fixed(item: Object, other: Object) -> Object:
        spec = copy(item["spec"])
        for name in ("initContainers", "containers"):
            for container in spec.get(name) or ():
                container.pop("image", None)
        for name in ("activeDeadlineSeconds", "tolerations", "terminationGracePeriodSeconds", "ephemeralContainers",
                     "schedulingGates"):  # fmt: skip
            spec.pop(name, None)
        if "nodeName" not in old["spec"]:
            spec.pop("nodeName", None)
        return dict(spec)

    if fixed(old, new) == fixed(new, old):
        return []
    text = (
        "pod updates may not change fields other than `spec.containers[*].image`,`spec.initContainers[*].image`,"
        "`spec.activeDeadlineSeconds`,`spec.tolerations` (only additions to existing tolerations),"
        "`spec.terminationGracePeriodSeconds` (allow it to be set to 1 if it was previously negative)"
    )
    return [field_forbidden("spec", text)]


def service(old: Object, new: Object) -> list[Cause]:
    before, after = old["spec"].get("clusterIP"), new["spec"].get("clusterIP")
    kinds = {old["spec"].get("type"), new["spec"].get("type")}
    if before and before != after and "ExternalName" not in kinds:
        return [invalid_value("spec.clusterIPs[0]", [after or ""], "may not change once set")]
    return []


def _frozen(old: Object, new: Object) -> list[Cause]:
    if not old.get("immutable"):
        return []
    causes = []
    if not new.get("immutable"):
        causes.append(field_forbidden("immutable", "field is immutable when `immutable` is set"))
    for name in ("data", "binaryData"):
        if (old.get(name) or {}) != (new.get(name) or {}):
            causes.append(field_forbidden(name, "field is immutable when `immutable` is set"))
    return causes


def secret(old: Object, new: Object) -> list[Cause]:
    return _fixed(old, new, "type") + _frozen(old, new)


def storage_class(old: Object, new: Object) -> list[Cause]:
    causes = []
    for name in ("parameters", "provisioner", "reclaimPolicy"):
        if (old.get(name) or {}) != (new.get(name) or {}):
            causes.append(field_forbidden(name, f"updates to {name} are forbidden."))
    return causes + _fixed(old, new, "volumeBindingMode")


def role_binding(old: Object, new: Object) -> list[Cause]:
    if old["roleRef"] == new["roleRef"]:
        return []
    return [invalid_value("roleRef", new["roleRef"], "cannot change roleRef")]


def claim(old: Object, new: Object) -> list[Cause]:
    before, after = copy(old["spec"]), copy(new["spec"])
    asked = [(spec["resources"].get("requests") or {}).get("storage", "0") for spec in (before, after)]
    if quantity.parse(asked[1])[0] < quantity.parse(asked[0])[0]:
        text = "field can not be less than previous value"
        return [field_forbidden("spec.resources.requests.storage", text)]
    for spec in (before, after):
        (spec["resources"].get("requests") or {}).pop("storage", None)
        spec.pop("volumeAttributesClassName", None)
    if not before.get("volumeName"):
        after.pop("volumeName", None)
        before.pop("volumeName", None)
    if before.get("storageClassName") is None:
        # The volume controller gives a waiting claim the default class once there is one.
        after.pop("storageClassName", None)
        before.pop("storageClassName", None)
    if before == after:
        return []
    text = "spec is immutable after creation except resources.requests and volumeAttributesClassName for bound claims"
    return [field_forbidden("spec", text)]


def priority_class(old: Object, new: Object) -> list[Cause]:
    if old.get("value") == new.get("value"):
        return []
    return [field_forbidden("Value", "may not be changed in an update.")]


def ingress_class(old: Object, new: Object) -> list[Cause]:
    return _fixed(old, new, "spec.controller")


def definition(old: Object, new: Object) -> list[Cause]:
    return _fixed(old, new, "spec.group", "spec.scope", "spec.names.plural", "spec.names.kind")


BY_KIND: dict[str, Callable[[Object, Object], list[Cause]]] = {
    "pods": pod,
    "deployments.apps": selector,
    "replicasets.apps": selector,
    "daemonsets.apps": selector,
    "statefulsets.apps": stateful_set,
    "jobs.batch": job,
    "services": service,
    "secrets": secret,
    "configmaps": _frozen,
    "storageclasses.storage.k8s.io": storage_class,
    "rolebindings.rbac.authorization.k8s.io": role_binding,
    "clusterrolebindings.rbac.authorization.k8s.io": role_binding,
    "persistentvolumeclaims": claim,
    "priorityclasses.scheduling.k8s.io": priority_class,
    "ingressclasses.networking.k8s.io": ingress_class,
    "customresourcedefinitions.apiextensions.k8s.io": definition,
}
