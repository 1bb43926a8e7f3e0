"""Pods and what makes pods."""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes import quantity, selectors
from deployments.sandbox.kubernetes.errors import (
    Cause,
    duplicate,
    field_forbidden,
    invalid_value,
    not_supported,
    required,
)
from deployments.sandbox.kubernetes.validation.metadata import check_label, check_labels

Object = dict[str, Any]
PULL_POLICIES = ["Always", "IfNotPresent", "Never"]


def pod_spec(spec: Object, path: str) -> list[Cause]:
    """A pod's spec at `path` (`spec`, `spec.template.spec`)."""
    causes: list[Cause] = []
    volumes: set[str] = set()
    for position, volume in enumerate(spec.get("volumes") or ()):
        where = f"{path}.volumes[{position}]"
        causes += _name(volume.get("name"), f"{where}.name", volumes)
        if len(volume.keys() - {"name"}) > 1:
            causes.append(field_forbidden(where, "may not specify more than 1 volume type"))
    if not spec.get("containers"):
        causes.append(required(f"{path}.containers"))
    names: set[str] = set()
    for group in ("initContainers", "containers"):
        for position, container in enumerate(spec.get(group) or ()):
            causes += _container(container, f"{path}.{group}[{position}]", names, volumes)
    if spec.get("restartPolicy") not in ("Always", "OnFailure", "Never"):
        causes.append(
            not_supported(f"{path}.restartPolicy", spec.get("restartPolicy"), ["Always", "OnFailure", "Never"])
        )
    if spec.get("dnsPolicy") not in ("ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"):
        allowed = ["ClusterFirst", "ClusterFirstWithHostNet", "Default", "None"]
        causes.append(not_supported(f"{path}.dnsPolicy", spec.get("dnsPolicy"), allowed))
    return causes


def _name(name: str | None, field: str, seen: set[str]) -> list[Cause]:
    if not name:
        return [required(field)]
    if name in seen:
        return [duplicate(field, name)]
    seen.add(name)
    return check_label(name, field)


def _container(container: Object, path: str, names: set[str], volumes: set[str]) -> list[Cause]:
    causes = _name(container.get("name"), f"{path}.name", names)
    if not container.get("image"):
        causes.append(required(f"{path}.image"))
    if container.get("imagePullPolicy") not in PULL_POLICIES:
        causes.append(not_supported(f"{path}.imagePullPolicy", container.get("imagePullPolicy"), PULL_POLICIES))
    for position, port in enumerate(container.get("ports") or ()):
        causes += _port(port.get("containerPort"), f"{path}.ports[{position}].containerPort")
        if port.get("protocol") not in ("TCP", "UDP", "SCTP"):
            field = f"{path}.ports[{position}].protocol"
            causes.append(not_supported(field, port.get("protocol"), ["SCTP", "TCP", "UDP"]))
    for position, variable in enumerate(container.get("env") or ()):
        if not variable.get("name"):
            causes.append(required(f"{path}.env[{position}].name"))
        if variable.get("value") and variable.get("valueFrom"):
            text = "may not be specified when `value` is not empty"
            causes.append(invalid_value(f"{path}.env[{position}].valueFrom", "", text))
    mounts: set[str] = set()
    for position, mount in enumerate(container.get("volumeMounts") or ()):
        where = f"{path}.volumeMounts[{position}]"
        if not mount.get("mountPath"):
            causes.append(required(f"{where}.mountPath"))
        elif mount["mountPath"] in mounts:
            causes.append(invalid_value(f"{where}.mountPath", mount["mountPath"], "must be unique"))
        mounts.add(mount.get("mountPath", ""))
        if mount.get("name") not in volumes:
            causes.append(Cause(f"{where}.name", "FieldValueNotFound", f'Not found: "{mount.get("name")}"'))
    return causes + _resources(container.get("resources") or {}, f"{path}.resources")


def _port(port: Any, field: str) -> list[Cause]:
    if not port:
        return [required(field)]
    return [] if 0 < port < 65536 else [invalid_value(field, port, "must be between 1 and 65535, inclusive")]


def _resources(resources: Object, path: str) -> list[Cause]:
    causes = []
    limits = resources.get("limits") or {}
    for name, amount in (resources.get("requests") or {}).items():
        if name in limits and quantity.parse(amount)[0] > quantity.parse(limits[name])[0]:
            text = f"must be less than or equal to {name} limit of {limits[name]}"
            causes.append(invalid_value(f"{path}.requests", amount, text))
    return causes


def pod(item: Object) -> list[Cause]:
    return pod_spec(item["spec"], "spec")


def _selected_template(item: Object, kind: str, *, restart: bool = True) -> list[Cause]:
    """Selector and template of a workload: the one has to match the other."""
    spec = item["spec"]
    template = spec["template"]
    labels = template["metadata"].get("labels") or {}
    selector = spec.get("selector")
    causes = check_labels(labels, "spec.template.labels")
    if selector is None:
        causes.append(required("spec.selector"))
    elif not selector.get("matchLabels") and not selector.get("matchExpressions"):
        causes.append(invalid_value("spec.selector", selector, f"empty selector is invalid for {kind}"))
    if not selectors.selects(selector, labels):
        text = "`selector` does not match template `labels`"
        causes.append(invalid_value("spec.template.metadata.labels", labels, text))
    causes += pod_spec(template["spec"], "spec.template.spec")
    if restart and template["spec"].get("restartPolicy") in ("OnFailure", "Never"):
        causes.append(not_supported("spec.template.spec.restartPolicy", template["spec"]["restartPolicy"], ["Always"]))
    if (spec.get("replicas") or 0) < 0:
        causes.append(invalid_value("spec.replicas", spec["replicas"], "must be greater than or equal to 0"))
    return causes


def deployment(item: Object) -> list[Cause]:
    causes = _selected_template(item, "deployment")
    strategy = item["spec"]["strategy"]
    if strategy["type"] not in ("Recreate", "RollingUpdate"):
        causes.append(not_supported("spec.strategy", strategy["type"], ["Recreate", "RollingUpdate"]))
    if strategy["type"] == "Recreate" and strategy.get("rollingUpdate"):
        text = "may not be specified when strategy `type` is 'Recreate'"
        causes.append(field_forbidden("spec.strategy.rollingUpdate", text))
    return causes


def replica_set(item: Object) -> list[Cause]:
    return _selected_template(item, "replicaset")


def stateful_set(item: Object) -> list[Cause]:
    return _selected_template(item, "statefulset")


def daemon_set(item: Object) -> list[Cause]:
    return _selected_template(item, "daemonset")


def _job_template(spec: Object, path: str) -> list[Cause]:
    pod = spec["template"]["spec"]
    causes = pod_spec(pod, f"{path}.template.spec")
    if pod.get("restartPolicy") == "Always":
        field = f"{path}.template.spec.restartPolicy"
        causes.append(Cause(field, "FieldValueRequired", 'Required value: valid values: "OnFailure", "Never"'))
    for name in ("parallelism", "completions", "backoffLimit", "activeDeadlineSeconds", "ttlSecondsAfterFinished"):
        if (spec.get(name) or 0) < 0:
            causes.append(invalid_value(f"{path}.{name}", spec[name], "must be greater than or equal to 0"))
    return causes


def job(item: Object) -> list[Cause]:
    return _job_template(item["spec"], "spec")


def cron_job(item: Object) -> list[Cause]:
    spec = item["spec"]
    causes = []
    if not spec.get("schedule"):
        causes.append(required("spec.schedule"))
    elif not spec["schedule"].startswith("@") and len(spec["schedule"].split()) != 5:
        text = f"expected exactly 5 fields, found {len(spec['schedule'].split())}: {spec['schedule'].split()}"
        causes.append(invalid_value("spec.schedule", spec["schedule"], text))
    if spec["concurrencyPolicy"] not in ("Allow", "Forbid", "Replace"):
        allowed = ["Allow", "Forbid", "Replace"]
        causes.append(not_supported("spec.concurrencyPolicy", spec["concurrencyPolicy"], allowed))
    return causes + _job_template(spec["jobTemplate"]["spec"], "spec.jobTemplate.spec")


def autoscaler(item: Object) -> list[Cause]:
    spec = item["spec"]
    causes = []
    if spec.get("maxReplicas", 0) < 1:
        causes.append(invalid_value("spec.maxReplicas", spec.get("maxReplicas", 0), "must be greater than 0"))
    if spec.get("maxReplicas", 0) < spec["minReplicas"]:
        text = "must be greater than or equal to `minReplicas`"
        causes.append(invalid_value("spec.maxReplicas", spec.get("maxReplicas", 0), text))
    for name in ("kind", "name"):
        if not spec["scaleTargetRef"].get(name):
            causes.append(required(f"spec.scaleTargetRef.{name}"))
    return causes


def disruption_budget(item: Object) -> list[Cause]:
    if "minAvailable" in item["spec"] and "maxUnavailable" in item["spec"]:
        return [invalid_value("spec", item["spec"], "minAvailable and maxUnavailable cannot be both set")]
    return []
