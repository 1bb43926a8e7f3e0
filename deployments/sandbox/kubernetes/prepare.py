"""What happens to an object between the wire and the store, without I/O: decoding, defaults, server-set fields."""

from __future__ import annotations

import secrets
import uuid
from datetime import UTC, datetime
from typing import Any

from deployments.sandbox.kubernetes import defaults, structural, typed
from deployments.sandbox.kubernetes.crds import STORAGE as CRD_STORAGE
from deployments.sandbox.kubernetes.defaults.workloads import quality
from deployments.sandbox.kubernetes.errors import StatusError, bad_request, invalid, invalid_value
from deployments.sandbox.kubernetes.fieldset import Path
from deployments.sandbox.kubernetes.requestinfo import Options
from deployments.sandbox.kubernetes.resources import Resource
from deployments.sandbox.kubernetes.types import library

Object = dict[str, Any]
TEMPLATE_GENERATION = "deprecated.daemonset.template.generation"
_SUFFIX = "bcdfghjklmnpqrstvwxz2456789"
KEPT = ("uid", "creationTimestamp", "deletionTimestamp", "deletionGracePeriodSeconds", "generation", "selfLink")
"""Metadata that a client cannot change."""

CONDITIONAL_ONLY = frozenset(
    [
        "customresourcedefinitions.apiextensions.k8s.io",
        "apiservices.apiregistration.k8s.io",
        "leases.coordination.k8s.io",
        "endpointslices.discovery.k8s.io",
        "poddisruptionbudgets.policy",
        "runtimeclasses.node.k8s.io",
        "mutatingwebhookconfigurations.admissionregistration.k8s.io",
        "volumeattachments.storage.k8s.io",
        "validatingwebhookconfigurations.admissionregistration.k8s.io",
        "csidrivers.storage.k8s.io",
    ]
)
"""Kinds whose PUT has to carry a resourceVersion, besides all custom ones."""

CREATE_ON_UPDATE = frozenset(
    [
        "endpoints",
        "events",
        "services",
        "leases.coordination.k8s.io",
        "roles.rbac.authorization.k8s.io",
        "limitranges",
        "podtemplates",
        "rolebindings.rbac.authorization.k8s.io",
        "clusterroles.rbac.authorization.k8s.io",
        "clusterrolebindings.rbac.authorization.k8s.io",
    ]
)


def now() -> str:
    """The time as metadata holds it."""
    return datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def decode(resource: Resource, body: Any, options: Options) -> Object:
    """A request body as an object of `resource`, unknown fields dropped, defaults filled in.

    Raises:
        StatusError: 400, it is no such object.
    """
    if not isinstance(body, dict):
        raise bad_request(f"couldn't get version/kind; json parse error: expected an object of kind {resource.kind}")
    _check_kind(resource, body)
    unknown: list[str] = []
    item = {**body, "apiVersion": resource.api_version, "kind": resource.kind}
    try:
        if resource.custom is None:
            report = typed.Report()
            item = typed.decode(resource.schema, item, report)
            unknown = report.unknown
        else:
            item = _decode_custom(resource, item, unknown)
    except typed.DecodeError as error:
        shown = f'{resource.kind} in version "{resource.version}" cannot be handled as a {resource.kind}: {error}'
        raise bad_request(shown) from error
    _report_unknown(unknown, options, item)
    default(resource, item)
    return item


def _check_kind(resource: Resource, body: Object) -> None:
    api_version, kind = body.get("apiVersion"), body.get("kind")
    if api_version not in (None, "", resource.api_version):
        raise bad_request(
            f"the API version in the data ({api_version}) does not match the expected API version"
            f" ({resource.api_version})"
        )
    if kind not in (None, "", resource.kind):
        if api_version:
            raise bad_request(f"{kind} in version \"{resource.version}\" cannot be handled as a {resource.kind}: "
                              f"no kind \"{kind}\" is registered for {api_version}")  # fmt: skip
        raise bad_request(f'Object \'Kind\' is "{kind}", expected "{resource.kind}"')
    if not isinstance(body.get("metadata", {}), dict | None):
        raise bad_request("metadata must be an object")


def _decode_custom(resource: Resource, item: Object, unknown: list[str]) -> Object:
    report = typed.Report()
    item = {key: value for key, value in item.items() if key != "metadata" or value is not None}
    item["metadata"] = typed.decode(library().get("meta.v1.ObjectMeta"), item.get("metadata") or {}, report, "metadata")
    unknown += report.unknown
    schema = (resource.custom or {}).get("schema")
    if schema is not None and not (resource.custom or {}).get("preserve"):
        structural.prune(schema, item, "", unknown, root=True)
    return item


def _report_unknown(unknown: list[str], options: Options, item: Object) -> None:
    if not unknown or options.validation == "Ignore":
        return
    if options.validation == "Strict":
        listed = ", ".join(f'unknown field "{path}"' for path in unknown)
        kind = item.get("kind", "")
        version = str(item.get("apiVersion", "")).rpartition("/")[2]
        raise bad_request(
            f'{kind} in version "{version}" cannot be handled as a {kind}: strict decoding error: {listed}'
        )
    options.warnings.extend(f'unknown field "{path}"' for path in unknown)


def default(resource: Resource, item: Object) -> None:
    """Fill in defaults, in place."""
    if resource.custom is None:
        defaults.apply(resource.storage, item)
    elif resource.custom.get("schema") is not None:
        structural.drop_nulls(resource.custom["schema"], item)
        structural.default(resource.custom["schema"], item)


def empty(resource: Resource) -> Object:
    """An object before anybody set a field, to compare a new one with."""
    base: Object = {"apiVersion": resource.api_version, "kind": resource.kind}
    return typed.zero(resource.schema) | base if resource.custom is None else base


def reset_fields(resource: Resource, subresource: str) -> list[Path]:
    """Fields a write through this (sub)resource cannot set, hence not own."""
    if not resource.status:
        return []
    if subresource == "status":
        if resource.custom is not None:
            return [("f:spec",), ("f:metadata",)]
        return [("f:spec",), ("f:metadata", "f:labels")]
    return [("f:status",)]


def name_it(resource: Resource, item: Object) -> None:
    """Make a name out of generateName."""
    metadata = item["metadata"]
    if not metadata.get("name") and metadata.get("generateName"):
        suffix = "".join(secrets.choice(_SUFFIX) for _ in range(5))
        metadata["name"] = metadata["generateName"][:58] + suffix
        default(resource, item)


def fresh(resource: Resource, item: Object) -> None:
    """Set what the server sets on a new object, and drop what a client may not set."""
    metadata = item["metadata"]
    for name in ("deletionTimestamp", "deletionGracePeriodSeconds", "selfLink", "generation", "resourceVersion"):
        metadata.pop(name, None)
    metadata["uid"] = str(uuid.uuid4())
    metadata["creationTimestamp"] = now()
    if not resource.namespaced:
        metadata.pop("namespace", None)
    if resource.generation:
        metadata["generation"] = 1
    if resource.status:
        if resource.custom is not None:
            item.pop("status", None)
        else:
            item["status"] = typed.zero(resource.schema)["status"]
            if resource.storage == CRD_STORAGE:
                item["status"] = {"acceptedNames": {"kind": "", "plural": ""}, "conditions": [], "storedVersions": []}
    default(resource, item)
    special = _FRESH.get(resource.storage)
    if special is not None:
        special(item)


def _fresh_pod(item: Object) -> None:
    spec = item["spec"]
    item["status"] = {"phase": "Pending", "qosClass": quality(spec)}
    spec.setdefault("priority", 0)
    spec.setdefault("preemptionPolicy", "PreemptLowerPriority")
    held = spec.setdefault("tolerations", [])
    for key in ("node.kubernetes.io/not-ready", "node.kubernetes.io/unreachable"):
        if not any(toleration.get("key") in (None, key) and toleration.get("effect") in (None, "NoExecute")
                   for toleration in held):  # fmt: skip
            held.append({"key": key, "operator": "Exists", "effect": "NoExecute", "tolerationSeconds": 300})


def _fresh_namespace(item: Object) -> None:
    finalizers = item["spec"].setdefault("finalizers", [])
    if "kubernetes" not in finalizers:
        finalizers.append("kubernetes")


def _fresh_job(item: Object) -> None:
    """A job selects its own pods by its uid, unless it says otherwise."""
    spec, metadata = item["spec"], item["metadata"]
    if spec.get("manualSelector"):
        return
    labels = spec["template"]["metadata"].setdefault("labels", {})
    for prefix in ("", "batch.kubernetes.io/"):
        labels.setdefault(f"{prefix}controller-uid", metadata["uid"])
        labels.setdefault(f"{prefix}job-name", metadata["name"])
    spec.setdefault("selector", {"matchLabels": {"batch.kubernetes.io/controller-uid": metadata["uid"]}})
    if not metadata.get("labels"):
        metadata["labels"] = dict(labels)


def _fresh_daemon_set(item: Object) -> None:
    annotations = item["metadata"].setdefault("annotations", {})
    annotations[TEMPLATE_GENERATION] = "1"


def _fresh_node(item: Object) -> None:
    """Nobody knows yet whether it is ready (admission plugin TaintNodesByCondition)."""
    taints = item["spec"].setdefault("taints", [])
    if not any(taint["key"] == "node.kubernetes.io/not-ready" for taint in taints):
        taints.append({"key": "node.kubernetes.io/not-ready", "effect": "NoSchedule"})


def _fresh_volume(item: Object) -> None:
    item["status"]["lastPhaseTransitionTime"] = now()
    _protect(item, "kubernetes.io/pv-protection")


def _fresh_claim(item: Object) -> None:
    _protect(item, "kubernetes.io/pvc-protection")


def _protect(item: Object, finalizer: str) -> None:
    held = item["metadata"].setdefault("finalizers", [])
    if finalizer not in held:
        held.append(finalizer)


_FRESH = {
    "pods": _fresh_pod,
    "namespaces": _fresh_namespace,
    "jobs.batch": _fresh_job,
    "daemonsets.apps": _fresh_daemon_set,
    "nodes": _fresh_node,
    "persistentvolumes": _fresh_volume,
    "persistentvolumeclaims": _fresh_claim,
}


def replace(resource: Resource, old: Object, new: Object, subresource: str) -> Object:
    """`new` with everything the (sub)resource cannot change taken from `old`; the generation counted up if need be."""
    if subresource == "status":
        status = new.get("status")
        metadata = {**old["metadata"], "managedFields": new["metadata"].get("managedFields")}
        if resource.custom is None:
            for name in ("annotations", "finalizers", "ownerReferences"):
                metadata.pop(name, None)
                if name in new["metadata"]:
                    metadata[name] = new["metadata"][name]
        out = {**old, "apiVersion": new["apiVersion"], "kind": new["kind"], "metadata": metadata}
        out.pop("status", None)
        return out if status is None else {**out, "status": status}
    metadata = {key: value for key, value in new["metadata"].items() if key not in KEPT}
    metadata |= {key: old["metadata"][key] for key in KEPT if key in old["metadata"]}
    out = {**new, "metadata": metadata}
    if resource.status:
        out.pop("status", None)
        if "status" in old:
            out["status"] = old["status"]
    if resource.storage == "namespaces":
        out["spec"] = old["spec"]
    if resource.storage == "daemonsets.apps" and old["spec"]["template"] != out["spec"]["template"]:
        annotations = metadata.setdefault("annotations", {})
        held = old["metadata"].get("annotations", {}).get(TEMPLATE_GENERATION, "1")
        annotations[TEMPLATE_GENERATION] = str(int(held) + 1)
    counted = changed(resource, old, out) or (
        # The real Deployment strategy counts annotations, too.
        resource.storage == "deployments.apps" and old["metadata"].get("annotations") != metadata.get("annotations")
    )
    if resource.generation and counted:
        metadata["generation"] = metadata.get("generation", 0) + 1
    return out


def changed(resource: Resource, old: Object, new: Object) -> bool:
    """Whether anything but metadata and status differs."""
    skip = {"apiVersion", "kind", "metadata"} | ({"status"} if resource.status else set())
    return {k: v for k, v in old.items() if k not in skip} != {k: v for k, v in new.items() if k not in skip}


def check_version(resource: Resource, new: Object) -> StatusError | None:
    """422 for a PUT that has to say which version it replaces, and does not."""
    if new["metadata"].get("resourceVersion") not in (None, "", "0"):
        return None
    if resource.custom is None and resource.storage not in CONDITIONAL_ONLY:
        return None
    cause = invalid_value("metadata.resourceVersion", "", "must be specified for an update")
    cause = type(cause)(cause.field, cause.reason, "Invalid value: 0x0: must be specified for an update")
    return invalid(resource.group, resource.kind, new["metadata"].get("name", ""), [cause])
