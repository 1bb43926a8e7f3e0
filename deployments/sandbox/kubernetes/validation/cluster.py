"""Services, configuration, storage, access and admission kinds."""

from __future__ import annotations

import re
from typing import Any

from deployments.sandbox.kubernetes.errors import (
    Cause,
    duplicate,
    invalid_value,
    not_supported,
    required,
)
from deployments.sandbox.kubernetes.validation.metadata import check_subdomain

Object = dict[str, Any]
_CONFIG_KEY = re.compile(r"^[-._a-zA-Z0-9]+$")
_CONFIG_KEY_TEXT = (
    "a valid config key must consist of alphanumeric characters, '-', '_' or '.' (e.g. 'key.name',  or 'KEY_NAME',  or "
    "'key-name', regex used for validation is '[-._a-zA-Z0-9]+')"
)
_MAX_DATA = 1024 * 1024
_SERVICE_TYPES = ["ClusterIP", "ExternalName", "LoadBalancer", "NodePort"]


def service(item: Object) -> list[Cause]:
    spec = item["spec"]
    causes = []
    ports = spec.get("ports") or []
    if not ports and spec["type"] != "ExternalName" and spec.get("clusterIP") != "None":
        causes.append(required("spec.ports"))
    if spec["type"] == "ExternalName" and not spec.get("externalName"):
        causes.append(required("spec.externalName"))
    if spec["sessionAffinity"] not in ("ClientIP", "None"):
        causes.append(not_supported("spec.sessionAffinity", spec["sessionAffinity"], ["ClientIP", "None"]))
    names: set[str] = set()
    for position, port in enumerate(ports):
        where = f"spec.ports[{position}]"
        name = port.get("name", "")
        if len(ports) > 1 and not name:
            causes.append(required(f"{where}.name"))
        elif name and name in names:
            causes.append(duplicate(f"{where}.name", name))
        names.add(name)
        if not 0 < port["port"] < 65536:
            causes.append(invalid_value(f"{where}.port", port["port"], "must be between 1 and 65535, inclusive"))
        target = port["targetPort"]
        if isinstance(target, int) and not 0 < target < 65536:
            causes.append(invalid_value(f"{where}.targetPort", target, "must be between 1 and 65535, inclusive"))
        if port["protocol"] not in ("TCP", "UDP", "SCTP"):
            causes.append(not_supported(f"{where}.protocol", port["protocol"], ["SCTP", "TCP", "UDP"]))
    if spec["type"] not in _SERVICE_TYPES:
        causes.append(not_supported("spec.type", spec["type"], _SERVICE_TYPES))
    return causes


def ingress(item: Object) -> list[Cause]:
    spec = item["spec"]
    causes = []
    if not spec.get("rules") and not spec.get("defaultBackend"):
        text = "either `defaultBackend` or `rules` must be specified"
        causes.append(invalid_value("spec", spec, text))
    for number, rule in enumerate(spec.get("rules") or ()):
        host = rule.get("host", "")
        if host:
            causes += check_subdomain(host.removeprefix("*."), f"spec.rules[{number}].host")
        for position, path in enumerate((rule.get("http") or {}).get("paths") or ()):
            where = f"spec.rules[{number}].http.paths[{position}]"
            if not path.get("pathType"):
                causes.append(required(f"{where}.pathType", "pathType must be specified"))
            elif path["pathType"] not in ("Exact", "Prefix", "ImplementationSpecific"):
                allowed = ["Exact", "ImplementationSpecific", "Prefix"]
                causes.append(not_supported(f"{where}.pathType", path["pathType"], allowed))
            elif path["pathType"] != "ImplementationSpecific" and not path.get("path", "").startswith("/"):
                causes.append(invalid_value(f"{where}.path", path.get("path", ""), "must be an absolute path"))
    return causes


def _config_keys(data: Object, field: str) -> list[Cause]:
    return [invalid_value(f"{field}[{key}]", key, _CONFIG_KEY_TEXT) for key in data if not _CONFIG_KEY.match(key)]


def secret(item: Object) -> list[Cause]:
    data = item.get("data") or {}
    causes = _config_keys(data, "data")
    if sum(len(value) * 3 // 4 for value in data.values()) > _MAX_DATA:
        causes.append(Cause("data", "FieldValueTooLong", f"Too long: may not be more than {_MAX_DATA} bytes"))
    wanted = {"kubernetes.io/tls": ("tls.crt", "tls.key"), "kubernetes.io/dockerconfigjson": (".dockerconfigjson",)}
    causes += [required(f"data[{key}]") for key in wanted.get(item["type"], ()) if key not in data]
    if item["type"] == "kubernetes.io/service-account-token":
        account = (item["metadata"].get("annotations") or {}).get("kubernetes.io/service-account.name")
        if not account:
            causes.append(required("metadata.annotations[kubernetes.io/service-account.name]"))
    return causes


def config_map(item: Object) -> list[Cause]:
    data, binary = item.get("data") or {}, item.get("binaryData") or {}
    causes = _config_keys(data, "data") + _config_keys(binary, "binaryData")
    causes += [
        invalid_value(f"data[{key}]", key, "duplicate of key present in binaryData") for key in data if key in binary
    ]
    if sum(len(value) for value in data.values()) > _MAX_DATA:
        causes.append(Cause("", "FieldValueTooLong", f"Too long: may not be more than {_MAX_DATA} bytes"))
    return causes


def event(item: Object) -> list[Cause]:
    """An event lives in the namespace of what it is about; in default for cluster-wide things."""
    about = item["involvedObject"].get("namespace", "")
    if (about or "default") == item["metadata"].get("namespace") or item.get("eventTime"):
        return []
    return [invalid_value("involvedObject.namespace", about, "does not match event.namespace")]


def claim(item: Object) -> list[Cause]:
    spec = item["spec"]
    causes = []
    if not spec.get("accessModes"):
        causes.append(required("spec.accessModes", "at least 1 access mode is required"))
    for position, mode in enumerate(spec.get("accessModes") or ()):
        allowed = ["ReadOnlyMany", "ReadWriteMany", "ReadWriteOnce", "ReadWriteOncePod"]
        if mode not in allowed:
            causes.append(not_supported(f"spec.accessModes[{position}]", mode, allowed))
    if "storage" not in (spec["resources"].get("requests") or {}):
        causes.append(required("spec.resources[storage]"))
    return causes


def storage_class(item: Object) -> list[Cause]:
    causes = [] if item.get("provisioner") else [required("provisioner")]
    if item["reclaimPolicy"] not in ("Delete", "Retain"):
        causes.append(not_supported("reclaimPolicy", item["reclaimPolicy"], ["Delete", "Retain"]))
    if item["volumeBindingMode"] not in ("Immediate", "WaitForFirstConsumer"):
        allowed = ["Immediate", "WaitForFirstConsumer"]
        causes.append(not_supported("volumeBindingMode", item["volumeBindingMode"], allowed))
    return causes


def role(item: Object) -> list[Cause]:
    causes = []
    namespaced = bool(item["metadata"].get("namespace"))
    for position, rule in enumerate(item.get("rules") or ()):
        where = f"rules[{position}]"
        if not rule.get("verbs"):
            causes.append(required(f"{where}.verbs", "verbs must contain at least one value"))
        if rule.get("nonResourceURLs"):
            if namespaced:
                text = "namespaced rules cannot apply to non-resource URLs"
                causes.append(invalid_value(f"{where}.nonResourceURLs", rule["nonResourceURLs"], text))
            continue
        if not rule.get("apiGroups"):
            causes.append(required(f"{where}.apiGroups", "resource rules must supply at least one api group"))
        if not rule.get("resources"):
            causes.append(required(f"{where}.resources", "resource rules must supply at least one resource"))
    return causes


def role_binding(item: Object) -> list[Cause]:
    reference, causes = item["roleRef"], []
    kinds = ["ClusterRole", "Role"] if item["metadata"].get("namespace") else ["ClusterRole"]
    if reference.get("kind") not in kinds:
        causes.append(not_supported("roleRef.kind", reference.get("kind", ""), kinds))
    if not reference.get("name"):
        causes.append(required("roleRef.name"))
    for position, subject in enumerate(item.get("subjects") or ()):
        where = f"subjects[{position}]"
        if not subject.get("name"):
            causes.append(required(f"{where}.name"))
        if subject.get("kind") not in ("ServiceAccount", "User", "Group"):
            causes.append(not_supported(f"{where}.kind", subject.get("kind", ""), ["Group", "ServiceAccount", "User"]))
        elif subject["kind"] == "ServiceAccount" and not subject.get("namespace"):
            causes.append(required(f"{where}.namespace"))
    return causes


def webhooks(item: Object) -> list[Cause]:
    causes = []
    for position, hook in enumerate(item.get("webhooks") or ()):
        where = f"webhooks[{position}]"
        name = hook.get("name", "")
        if name.count(".") < 2:
            text = "should be a domain with at least three segments separated by dots"
            causes.append(invalid_value(f"{where}.name", name, text))
        if not hook.get("sideEffects"):
            causes.append(required(f"{where}.sideEffects", "must specify one of None, NoneOnDryRun"))
        elif hook["sideEffects"] not in ("None", "NoneOnDryRun"):
            causes.append(not_supported(f"{where}.sideEffects", hook.get("sideEffects"), ["None", "NoneOnDryRun"]))
        if not 0 < hook["timeoutSeconds"] <= 30:
            text = "the timeout value must be between 1 and 30 seconds"
            causes.append(invalid_value(f"{where}.timeoutSeconds", hook["timeoutSeconds"], text))
        client = hook.get("clientConfig") or {}
        if bool(client.get("url")) == bool(client.get("service")):
            causes.append(required(f"{where}.clientConfig", "exactly one of url or service is required"))
        if not hook.get("admissionReviewVersions"):
            text = "must specify one of v1, v1beta1"
            causes.append(required(f"{where}.admissionReviewVersions", text))
    return causes
