"""What the cells of the built-in kinds' columns show (pkg/printers/internalversion/printers.go)."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from deployments.sandbox.kubernetes.age import age

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


def made(name: str, cell: Callable[[Object], Any], kind: str = "string", priority: int = 0) -> Column:
    return Column(name, "", kind, "", priority, "", cell)


NAME = Column("Name", "metadata.name", "string", "name", 0)
CREATED = Column("Created At", "", "date", "", 0, "", lambda item: item["metadata"].get("creationTimestamp"))
AGE = made("Age", lambda item: age(item["metadata"].get("creationTimestamp")))


def at(item: Object, path: str, default: Any = "") -> Any:
    value: Any = item
    for part in path.split("."):
        value = value.get(part) if isinstance(value, dict) else None
    return default if value is None else value


def join(values: Any, otherwise: str = NONE) -> str:
    return ",".join(str(value) for value in values) or otherwise


def show_selector(selector: Object | None) -> str:
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


def containers(path: str) -> list[Column]:
    """The wide columns of a pod template: container names, images."""

    def names(item: Object) -> str:
        return join(container.get("name") for container in at(item, f"{path}.containers", []))

    def images(item: Object) -> str:
        return join(container.get("image") for container in at(item, f"{path}.containers", []))

    return [made("Containers", names, priority=1), made("Images", images, priority=1)]


SELECTOR = made("Selector", lambda item: show_selector(at(item, "spec.selector", None)), priority=1)


def count(name: str, path: str) -> Column:
    return made(name, lambda item: at(item, path, 0), "integer")


def shown(name: str, path: str) -> Column:
    """A count under a column that calls itself text, as some of the real ones do."""
    return made(name, lambda item: at(item, path, 0))


def pod_status(item: Object) -> str:
    if "deletionTimestamp" in item["metadata"]:
        return "Terminating"
    reason = at(item, "status.reason") or at(item, "status.phase")
    for status in at(item, "status.containerStatuses", []):
        state = status.get("state") or {}
        for sort in ("waiting", "terminated"):
            if (state.get(sort) or {}).get("reason"):
                reason = state[sort]["reason"]
    return str(reason)


def pod_ready(item: Object) -> str:
    ready = sum(bool(status.get("ready")) for status in at(item, "status.containerStatuses", []))
    return f"{ready}/{len(at(item, 'spec.containers', []))}"


def pod_restarts(item: Object) -> str:
    return str(sum(status.get("restartCount", 0) for status in at(item, "status.containerStatuses", [])))


def service_external(item: Object) -> str:
    spec = item["spec"]
    if spec.get("type") == "ExternalName":
        return str(spec.get("externalName", NONE))
    external = list(spec.get("externalIPs") or ())
    if spec.get("type") != "LoadBalancer":
        return join(external)
    addresses = [entry.get("ip") or entry.get("hostname") for entry in at(item, "status.loadBalancer.ingress", [])]
    return join([*addresses, *external], "<pending>")


def service_ports(item: Object) -> str:
    return join(
        f"{port['port']}:{port['nodePort']}/{port['protocol']}"
        if port.get("nodePort")
        else f"{port['port']}/{port['protocol']}"
        for port in item["spec"].get("ports") or ()
    )


def label_selector(item: Object) -> str:
    return join(f"{key}={value}" for key, value in sorted(at(item, "spec.selector", {}).items()))


def node_status(item: Object) -> str:
    ready = [c["status"] for c in at(item, "status.conditions", []) if c["type"] == "Ready"]
    status = {"True": "Ready"}.get(ready[0], "NotReady") if ready else "Unknown"
    return status + (",SchedulingDisabled" if at(item, "spec.unschedulable", False) else "")


def node_roles(item: Object) -> str:
    prefix = "node-role.kubernetes.io/"
    return join(sorted(key.removeprefix(prefix) for key in at(item, "metadata.labels", {}) if key.startswith(prefix)))


def node_address(kind: str) -> Callable[[Object], str]:
    return lambda item: next((a["address"] for a in at(item, "status.addresses", []) if a["type"] == kind), NONE)


_MODES = {"ReadWriteOnce": "RWO", "ReadOnlyMany": "ROX", "ReadWriteMany": "RWX", "ReadWriteOncePod": "RWOP"}


def access_modes(item: Object) -> str:
    return ",".join(_MODES.get(mode, mode) for mode in at(item, "spec.accessModes", []))


def claim_status(item: Object) -> str:
    return "Terminating" if "deletionTimestamp" in item["metadata"] else str(at(item, "status.phase"))


def volume_claim(item: Object) -> str:
    reference = at(item, "spec.claimRef", {})
    return f"{reference.get('namespace')}/{reference.get('name')}" if reference else ""


def class_name(item: Object) -> str:
    default = at(item, "metadata.annotations", {}).get("storageclass.kubernetes.io/is-default-class") == "true"
    return str(item["metadata"]["name"]) + (" (default)" if default else "")


def ingress_hosts(item: Object) -> str:
    return join((rule["host"] for rule in at(item, "spec.rules", []) if rule.get("host")), "*")


def ingress_ports(item: Object) -> str:
    return "80, 443" if at(item, "spec.tls", []) else "80"


def addresses(item: Object) -> str:
    return ",".join(
        str(entry.get("ip") or entry.get("hostname")) for entry in at(item, "status.loadBalancer.ingress", [])
    )


def job_completions(item: Object) -> str:
    done = at(item, "status.succeeded", 0)
    return f"{done}/{at(item, 'spec.completions', at(item, 'spec.parallelism', 1))}"


def job_status(item: Object) -> str:
    for sort, shown in (("Complete", "Complete"), ("Failed", "Failed"), ("Suspended", "Suspended")):
        if any(c["type"] == sort and c["status"] == "True" for c in at(item, "status.conditions", [])):
            return shown
    return "Terminating" if "deletionTimestamp" in item["metadata"] else "Running"


def show_endpoints(item: Object) -> str:
    return join(
        f"{address['ip']}:{port['port']}"
        for subset in item.get("subsets") or ()
        for port in subset.get("ports") or ()
        for address in subset.get("addresses") or ()
    )


def slice_endpoints(item: Object) -> str:
    return join((a for endpoint in item.get("endpoints") or () for a in endpoint["addresses"][:1]), "<unset>")


def webhook_count(item: Object) -> int:
    return len(item.get("webhooks") or ())


def event_object(item: Object) -> str:
    return f"{at(item, 'involvedObject.kind').lower()}/{at(item, 'involvedObject.name')}"


def _subjects(kind: str) -> Callable[[Object], str]:
    def cell(item: Object) -> str:
        subjects = [subject for subject in item.get("subjects") or () if subject["kind"] == kind]
        return ", ".join(f"{s['namespace']}/{s['name']}" if kind == "ServiceAccount" else s["name"] for s in subjects)

    return cell


BINDING = [
    NAME,
    made("Role", lambda item: f"{item['roleRef']['kind']}/{item['roleRef']['name']}"),
    AGE,
    made("Users", _subjects("User"), priority=1),
    made("Groups", _subjects("Group"), priority=1),
    made("ServiceAccounts", _subjects("ServiceAccount"), priority=1),
]


def api_service(item: Object) -> str:
    service = at(item, "spec.service", None)
    return f"{service['namespace']}/{service['name']}" if service else "Local"


def available(item: Object) -> str:
    found = [c["status"] for c in at(item, "status.conditions", []) if c["type"] == "Available"]
    return found[0] if found else "Unknown"
