"""Defaults of cluster, storage, access and admission kinds."""

from __future__ import annotations

import base64
from typing import Any

Object = dict[str, Any]
RBAC = "rbac.authorization.k8s.io"


def namespace(item: Object) -> None:
    name = item["metadata"].get("name")
    if name:
        item["metadata"].setdefault("labels", {})["kubernetes.io/metadata.name"] = name
    item["status"].setdefault("phase", "Active")


def node(item: Object) -> None:
    capacity = item["status"].get("capacity")
    if capacity and not item["status"].get("allocatable"):
        item["status"]["allocatable"] = dict(capacity)


def claim(item: Object) -> None:
    item["spec"].setdefault("volumeMode", "Filesystem")
    item["status"].setdefault("phase", "Pending")


def volume(item: Object) -> None:
    item["spec"].setdefault("persistentVolumeReclaimPolicy", "Retain")
    item["spec"].setdefault("volumeMode", "Filesystem")
    item["status"].setdefault("phase", "Pending")
    if "hostPath" in item["spec"]:
        item["spec"]["hostPath"].setdefault("type", "")


def storage_class(item: Object) -> None:
    item.setdefault("reclaimPolicy", "Delete")
    item.setdefault("volumeBindingMode", "Immediate")


def csi_driver(item: Object) -> None:
    for name, value in (("attachRequired", True), ("podInfoOnMount", False), ("storageCapacity", False),
                        ("fsGroupPolicy", "ReadWriteOnceWithFSType"), ("requiresRepublish", False)):  # fmt: skip
        item["spec"].setdefault(name, value)
    item["spec"].setdefault("volumeLifecycleModes", ["Persistent"])


def secret(item: Object) -> None:
    item.setdefault("type", "Opaque")
    text = item.pop("stringData", None)
    if text:
        encoded = {key: base64.b64encode(value.encode()).decode() for key, value in text.items()}
        item["data"] = (item.get("data") or {}) | encoded


def role_binding(item: Object) -> None:
    if not item["roleRef"].get("apiGroup"):
        item["roleRef"]["apiGroup"] = RBAC
    for subject in item.get("subjects") or ():
        if subject.get("kind") in ("User", "Group"):
            subject.setdefault("apiGroup", RBAC)


def webhooks(item: Object) -> None:
    mutating = "Mutating" in item.get("kind", "")
    for hook in item.get("webhooks") or ():
        hook.setdefault("failurePolicy", "Fail")
        hook.setdefault("matchPolicy", "Equivalent")
        hook.setdefault("namespaceSelector", {})
        hook.setdefault("objectSelector", {})
        hook.setdefault("timeoutSeconds", 10)
        if mutating:
            hook.setdefault("reinvocationPolicy", "Never")
        for rule in hook.get("rules") or ():
            rule.setdefault("scope", "*")
        service = (hook.get("clientConfig") or {}).get("service")
        if service is not None:
            service.setdefault("port", 443)


def api_service(item: Object) -> None:
    service = item["spec"].get("service")
    if service is not None:
        service.setdefault("port", 443)


def priority_class(item: Object) -> None:
    item.setdefault("preemptionPolicy", "PreemptLowerPriority")
