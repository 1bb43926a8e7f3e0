"""The printer columns of the built-in kinds (pkg/printers/internalversion/printers.go)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from infra.sandbox.kubernetes.age import age

Object = dict[str, Any]
NONE = "<none>"


@dataclass(frozen=True, slots=True)
class Column:
    """One column: a JSONPath, or a function of the object (without kind)."""

    name: str
    path: str
    type: str = "string"
    format: str = ""
    priority: int = 0
    description: str = ""
    cell: Callable[[Object], Any] | None = None


def _made(name: str, cell: Callable[[Object], Any], kind: str = "string", priority: int = 0) -> Column:
    return Column(name, "", kind, "", priority, "", cell)


_NAME = Column("Name", "metadata.name", "string", "name", 0)
CREATED = Column("Created At", "", "date", "", 0, "", lambda item: item["metadata"].get("creationTimestamp"))
_AGE = _made("Age", lambda item: age(item["metadata"].get("creationTimestamp")))


def _at(item: Object, path: str, default: Any = "") -> Any:
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return default if value is None else value


def _join(values: Any, otherwise: str = NONE) -> str:
    return ",".join(str(value) for value in values) or otherwise


def _selector(selector: Object | None) -> str:
    if not selector:
        return NONE
    terms = [f"{key}={value}" for key, value in sorted((selector.get("matchLabels") or {}).items())]
    shown = {"In": "in", "NotIn": "notin"}
    for term in selector.get("matchExpressions") or ():
        if term["operator"] in shown:
            terms.append(f"{term['key']} {shown[term['operator']]} ({','.join(sorted(term.get('values') or ()))})")
        else:
            terms.append(term["key"] if term["operator"] == "Exists" else f"!{term['key']}")
    return ",".join(terms) or NONE


def _containers(path: str) -> list[Column]:
    """The wide columns of a pod template: container names, images."""

    def names(item: Object) -> str:
        return _join(container.get("name") for container in _at(item, f"{path}.containers", []))

    def images(item: Object) -> str:
        return _join(container.get("image") for container in _at(item, f"{path}.containers", []))

    return [_made("Containers", names, priority=1), _made("Images", images, priority=1)]


_SELECTOR = _made("Selector", lambda item: _selector(_at(item, "spec.selector", None)), priority=1)


def _count(name: str, path: str) -> Column:
    return _made(name, lambda item: _at(item, path, 0), "integer")


def _shown(name: str, path: str) -> Column:
    """A count under a column that calls itself text, as some of the real ones do."""
    return _made(name, lambda item: _at(item, path, 0))


def _pod_status(item: Object) -> str:
    if "deletionTimestamp" in item["metadata"]:
        return "Terminating"
    reason = _at(item, "status.reason") or _at(item, "status.phase")
    for status in _at(item, "status.containerStatuses", []):
        state = status.get("state") or {}
        for sort in ("waiting", "terminated"):
            if (state.get(sort) or {}).get("reason"):
                reason = state[sort]["reason"]
    return str(reason)


def _pod_ready(item: Object) -> str:
    ready = sum(bool(status.get("ready")) for status in _at(item, "status.containerStatuses", []))
    return f"{ready}/{len(_at(item, 'spec.containers', []))}"


def _pod_restarts(item: Object) -> str:
    return str(sum(status.get("restartCount", 0) for status in _at(item, "status.containerStatuses", [])))


def _service_external(item: Object) -> str:
    spec = item["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", NONE))
    external = list(spec.get("externalIPs") or ())
    if spec.get("type") != "LoadBalancer":
        return _join(external)
    addresses = [entry.get("ip") or entry.get("hostname") for entry in _at(item, "status.loadBalancer.ingress", [])]
    return _join([*addresses, *external], "<pending>")


def _service_ports(item: Object) -> str:
    return _join(
        f"{port['port']}:{port['nodePort']}/{port['protocol']}"
        if port.get("nodePort")
        else f"{port['port']}/{port['protocol']}"
        for port in item["spec"].get("ports") or ()
    )


def _label_selector(item: Object) -> str:
    return _join(f"{key}={value}" for key, value in sorted(_at(item, "spec.selector", {}).items()))


def _node_status(item: Object) -> str:
    ready = [c["status"] for c in _at(item, "status.conditions", []) if c["type"] == "Ready"]
    status = {"True": "Ready"}.get(ready[0], "NotReady") if ready else "Unknown"
    return status + (",SchedulingDisabled" if _at(item, "spec.unschedulable", False) else "")


def _node_roles(item: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    return _join(sorted(key.removeprefix(prefix) for key in _at(item, "metadata.labels", {}) if key.startswith(prefix)))


def _node_address(kind: str) -> Callable[[Object], str]:
    return lambda item: next((a["address"] for a in _at(item, "status.addresses", []) if a["type"] == kind), NONE)


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def _modes(item: Object) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in _at(item, "spec.accessModes", []))


def _claim_status(item: Object) -> str:
    return "Terminating" if "deletionTimestamp" in item["metadata"] else str(_at(item, "status.phase"))


def _volume_claim(item: Object) -> str:
    reference = _at(item, "spec.claimRef", {})
    return f"{reference.get('namespace')}/{reference.get('name')}" if reference else ""


def _class_name(item: Object) -> str:
    default = _at(item, "metadata.annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return item["metadata"]["name"] + (" (default)" if default else "")


def _ingress_hosts(item: Object) -> str:
    return _join((rule["host"] for rule in _at(item, "spec.rules", []) if rule.get("host")), "*")


def _ingress_ports(item: Object) -> str:
    return "80, 443" if _at(item, "spec.tls", []) else "80"


def _addresses(item: Object) -> str:
    return ",".join(
        str(entry.get("ip") or entry.get("hostname")) for entry in _at(item, "status.loadBalancer.ingress", [])
    )


def _job_completions(item: Object) -> str:
    done = _at(item, "status.succeeded", 0)
    return f"{done}/{_at(item, 'spec.completions', _at(item, 'spec.parallelism', 1))}"


def _job_status(item: Object) -> str:
    for sort, shown in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if any(c["type"] == sort and c["status"] == "True" for c in _at(item, "status.conditions", [])):
            return shown
    return "Terminating" if "deletionTimestamp" in item["metadata"] else "Running"


def _endpoints(item: Object) -> str:
    return _join(
        f"{address['ip']}:{port['port']}"
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    )


def _slice_endpoints(item: Object) -> str:
    return _join((a for endpoint in item.get("endpoints") or () for a in endpoint["addresses"][:1]), "<unset>")


def _webhook_count(item: Object) -> int:
    return len(item.get("webhooks") or ())


def _event_object(item: Object) -> str:
    return f"{_at(item, 'involvedObject.kind').lower()}/{_at(item, 'involvedObject.name')}"


def _subjects(kind: str) -> Callable[[Object], str]:
    def cell(item: Object) -> str:
        subjects = [subject for subject in item.get("subjects") or () if subject["kind"] == kind]
        return ", ".join(f"{s['namespace']}/{s['name']}" if kind == "ServiceAccount" else s["name"] for s in subjects)

    return cell


_BINDING = [
    _NAME,
    _made("Role", lambda item: f"{item['roleRef']['kind']}/{item['roleRef']['name']}"),
    _AGE,
    _made("Users", _subjects("User"), priority=1),
    _made("Groups", _subjects("Group"), priority=1),
    _made("ServiceAccounts", _subjects("ServiceAccount"), priority=1),
]


def _api_service(item: Object) -> str:
    service = _at(item, "spec.service", None)
    return f"{service['namespace']}/{service['name']}" if service else "Local"


def _available(item: Object) -> str:
    found = [c["status"] for c in _at(item, "status.conditions", []) if c["type"] == "Available"]
    return found[0] if found else "Unknown"


COLUMNS: dict[str, list[Column]] = {
    "namespaces": [_NAME, Column("Status", "status.phase"), _AGE],
    "pods": [
        _NAME, _made("Ready", _pod_ready), _made("Status", _pod_status), _made("Restarts", _pod_restarts), _AGE,
        _made("IP", lambda item: _at(item, "status.podIP", NONE), priority=1),
        _made("Node", lambda item: _at(item, "spec.nodeName", NONE), priority=1),
        _made("Nominated Node", lambda item: _at(item, "status.nominatedNodeName", NONE), priority=1),
        _made("Readiness Gates", lambda item: NONE, priority=1),
    ],
    "services": [
        _NAME, Column("Type", "spec.type"), _made("Cluster-IP", lambda item: _at(item, "spec.clusterIP", NONE)),
        _made("External-IP", _service_external), _made("Port(s)", _service_ports), _AGE,
        _made("Selector", _label_selector, priority=1),
    ],
    "nodes": [
        _NAME, _made("Status", _node_status), _made("Roles", _node_roles), _AGE,
        Column("Version", "status.nodeInfo.kubeletVersion"),
        _made("Internal-IP", _node_address("InternalIP"), priority=1),
        _made("External-IP", _node_address("ExternalIP"), priority=1),
        _made("OS-Image", lambda item: _at(item, "status.nodeInfo.osImage") or "<unknown>", priority=1),
        _made("Kernel-Version", lambda item: _at(item, "status.nodeInfo.kernelVersion") or "<unknown>", priority=1),
        _made("Container-Runtime", lambda item: _at(item, "status.nodeInfo.containerRuntimeVersion") or "<unknown>",
              priority=1),
    ],
    "configmaps": [
        _NAME, _made("Data", lambda item: len(item.get("data") or ()) + len(item.get("binaryData") or ()), "string"), _AGE
    ],
    "secrets": [_NAME, Column("Type", "type"), _made("Data", lambda item: len(item.get("data") or ())), _AGE],
    "serviceaccounts": [_NAME, _made("Secrets", lambda item: len(item.get("secrets") or ())), _AGE],
    "endpoints": [_NAME, _made("Endpoints", _endpoints), _AGE],
    "events": [
        _made("Last Seen", lambda item: age(item.get("lastTimestamp"))), Column("Type", "type"), Column("Reason", "reason"),
        _made("Object", _event_object), _made("Subobject", lambda item: _at(item, "involvedObject.fieldPath"), priority=1),
        _made("Source", lambda item: _at(item, "source.component"), priority=1), Column("Message", "message"),
        _made("First Seen", lambda item: age(item.get("firstTimestamp")), priority=1),
        _made("Count", lambda item: str(item.get("count", 1)), priority=1), Column("Name", "metadata.name", "string", "name", 1),
    ],
    "persistentvolumeclaims": [
        _NAME, _made("Status", _claim_status), _made("Volume", lambda item: _at(item, "spec.volumeName")),
        _made("Capacity", lambda item: _at(item, "status.capacity", {}).get("storage", "")),
        _made("Access Modes", _modes), _made("StorageClass", lambda item: _at(item, "spec.storageClassName")),
        _made("VolumeAttributesClass", lambda item: "<unset>"), _AGE, Column("VolumeMode", "spec.volumeMode", priority=1),
    ],
    "persistentvolumes": [
        _NAME, _made("Capacity", lambda item: _at(item, "spec.capacity", {}).get("storage", "")),
        _made("Access Modes", _modes), Column("Reclaim Policy", "spec.persistentVolumeReclaimPolicy"),
        _made("Status", _claim_status), _made("Claim", _volume_claim),
        _made("StorageClass", lambda item: _at(item, "spec.storageClassName")),
        _made("VolumeAttributesClass", lambda item: "<unset>"), _made("Reason", lambda item: _at(item, "status.reason")),
        _AGE, Column("VolumeMode", "spec.volumeMode", priority=1),
    ],
    "deployments.apps": [
        _NAME, _made("Ready", lambda item: f"{_at(item, 'status.readyReplicas', 0)}/{_at(item, 'spec.replicas', 0)}"),
        _shown("Up-to-date", "status.updatedReplicas"), _shown("Available", "status.availableReplicas"), _AGE,
        *_containers("spec.template.spec"), _SELECTOR,
    ],
    "replicationcontrollers": [
        _NAME, _count("Desired", "spec.replicas"), _count("Current", "status.replicas"),
        _count("Ready", "status.readyReplicas"), _AGE, *_containers("spec.template.spec"),
        _made("Selector", _label_selector, priority=1),
    ],
    "replicasets.apps": [
        _NAME, _count("Desired", "spec.replicas"), _count("Current", "status.replicas"),
        _count("Ready", "status.readyReplicas"), _AGE, *_containers("spec.template.spec"), _SELECTOR,
    ],
    "statefulsets.apps": [
        _NAME, _made("Ready", lambda item: f"{_at(item, 'status.readyReplicas', 0)}/{_at(item, 'spec.replicas', 0)}"),
        _AGE, *_containers("spec.template.spec"),
    ],
    "daemonsets.apps": [
        _NAME, _count("Desired", "status.desiredNumberScheduled"), _count("Current", "status.currentNumberScheduled"),
        _count("Ready", "status.numberReady"), _count("Up-to-date", "status.updatedNumberScheduled"),
        _count("Available", "status.numberAvailable"),
        _made("Node Selector", lambda item: _join(
            f"{key}={value}" for key, value in _at(item, "spec.template.spec.nodeSelector", {}).items())),
        _AGE, *_containers("spec.template.spec"), _SELECTOR,
    ],
    "jobs.batch": [
        _NAME, _made("Status", _job_status), _made("Completions", _job_completions), _made("Duration", lambda item: ""),
        _AGE, *_containers("spec.template.spec"), _SELECTOR,
    ],
    "cronjobs.batch": [
        _NAME, Column("Schedule", "spec.schedule"), _made("Timezone", lambda item: _at(item, "spec.timeZone", NONE)),
        _made("Suspend", lambda item: str(_at(item, "spec.suspend", False))),
        _made("Active", lambda item: len(_at(item, "status.active", [])), "integer"),
        _made("Last Schedule", lambda item: NONE), _AGE, *_containers("spec.jobTemplate.spec.template.spec"),
    ],
    "horizontalpodautoscalers.autoscaling": [
        _NAME, _made("Reference", lambda item: f"{_at(item, 'spec.scaleTargetRef.kind')}/{_at(item, 'spec.scaleTargetRef.name')}"),
        _made("Targets", lambda item: "<unknown>"), _made("MinPods", lambda item: str(_at(item, "spec.minReplicas", "<unset>"))),
        _count("MaxPods", "spec.maxReplicas"), _count("Replicas", "status.currentReplicas"), _AGE,
    ],
    "poddisruptionbudgets.policy": [
        _NAME, _made("Min Available", lambda item: str(_at(item, "spec.minAvailable", "N/A"))),
        _made("Max Unavailable", lambda item: str(_at(item, "spec.maxUnavailable", "N/A"))),
        _count("Allowed Disruptions", "status.disruptionsAllowed"), _AGE,
    ],
    "ingresses.networking.k8s.io": [
        _NAME, _made("Class", lambda item: _at(item, "spec.ingressClassName", NONE)), _made("Hosts", _ingress_hosts),
        _made("Address", _addresses), _made("Ports", _ingress_ports), _AGE,
    ],
    "ingressclasses.networking.k8s.io": [
        _NAME, Column("Controller", "spec.controller"), _made("Parameters", lambda item: NONE), _AGE
    ],
    "networkpolicies.networking.k8s.io": [
        _NAME, _made("Pod-Selector", lambda item: _selector(_at(item, "spec.podSelector", None))), _AGE
    ],
    "storageclasses.storage.k8s.io": [
        Column("Name", "", "string", "name", 0, "", _class_name), Column("Provisioner", "provisioner"),
        Column("ReclaimPolicy", "reclaimPolicy"), Column("VolumeBindingMode", "volumeBindingMode"),
        _made("AllowVolumeExpansion", lambda item: bool(item.get("allowVolumeExpansion"))), _AGE,
    ],
    "roles.rbac.authorization.k8s.io": [_NAME, CREATED],
    "clusterroles.rbac.authorization.k8s.io": [_NAME, CREATED],
    "rolebindings.rbac.authorization.k8s.io": _BINDING,
    "clusterrolebindings.rbac.authorization.k8s.io": _BINDING,
    "mutatingwebhookconfigurations.admissionregistration.k8s.io": [_NAME, _made("Webhooks", _webhook_count, "integer"), _AGE],
    "validatingwebhookconfigurations.admissionregistration.k8s.io": [_NAME, _made("Webhooks", _webhook_count, "integer"), _AGE],
    "customresourcedefinitions.apiextensions.k8s.io": [_NAME, CREATED],
    "apiservices.apiregistration.k8s.io": [
        _NAME, _made("Service", _api_service), _made("Available", _available), _AGE
    ],
    "priorityclasses.scheduling.k8s.io": [
        _NAME, _made("Value", lambda item: item.get("value", 0), "integer"),
        _made("Global-Default", lambda item: bool(item.get("globalDefault")), "boolean"), _AGE,
        Column("PreemptionPolicy", "preemptionPolicy"),
    ],
    "leases.coordination.k8s.io": [_NAME, _made("Holder", lambda item: _at(item, "spec.holderIdentity")), _AGE],
    "endpointslices.discovery.k8s.io": [
        _NAME, Column("AddressType", "addressType"),
        _made("Ports", lambda item: _join((p.get("port", "*") for p in item.get("ports") or ()), "<unset>")),
        _made("Endpoints", _slice_endpoints), _AGE,
    ],
    "controllerrevisions.apps": [
        _NAME, _made("Controller", lambda item: next(
            (f"{o['kind'].lower()}.apps/{o['name']}" for o in _at(item, "metadata.ownerReferences", []) if o.get("controller")), NONE)),
        _made("Revision", lambda item: item.get("revision", 0)), _AGE,
    ],
}  # fmt: skip
