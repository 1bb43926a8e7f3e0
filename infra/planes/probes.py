"""Ready means ready: the probes an add-on names in the catalogue.

Helm's `--wait` returns when Deployments are up. That is not when a webhook answers, a load balancer has its address or
a custom resource is accepted; each of those is asked for itself.
"""

from __future__ import annotations

from typing import Any

from infra.catalog.models import (
    ConditionProbe,
    CrdEstablishedProbe,
    DryRunCreateProbe,
    LoadBalancerProbe,
    Probe,
    WorkloadsProbe,
)
from infra.clients.errors import InvalidInput, NotFound, NotYet
from infra.planes.clients import Clients

CLOUD_SAYS = {
    "status: ERROR": "Octavia could not make it: whoever runs the cloud knows why. Deleting the Service makes it anew.",
    "No more IP addresses": "The external network has no free address: release floating IPs, or have it enlarged.",
    "uota exceeded": "The project's quota is used up: release what is not needed, or ask for more.",
}
"""What the cloud provider's warnings contain, and what helps."""
WORKLOADS = (("apps/v1", "Deployment"), ("apps/v1", "StatefulSet"), ("apps/v1", "DaemonSet"))


async def prove(probe: Probe, clients: Clients) -> str:
    """Wait until `probe` holds, and say what was seen.

    Raises:
        DeadlineExceeded: it did not within `settings.probe_timeout`, with the last thing seen.
    """
    return await clients.until(lambda: look(probe, clients), describe=describe(probe))


async def look(probe: Probe, clients: Clients) -> str:
    """Look once.

    Raises:
        NotYet: the probe does not hold.
    """
    match probe:
        case WorkloadsProbe():
            return await _workloads(probe, clients)
        case DryRunCreateProbe():
            return await _dry_run(probe, clients)
        case LoadBalancerProbe():
            return await load_balancer_address(probe.namespace, probe.service, clients)
        case CrdEstablishedProbe():
            return await _established(probe, clients)
        case ConditionProbe():
            return await _condition(probe, clients)


def describe(probe: Probe) -> str:
    """What the probe waits for, as the object of "waiting for …"."""
    match probe:
        case WorkloadsProbe():
            return f"the workloads of {probe.namespace}/{probe.release}"
        case DryRunCreateProbe():
            return f"the API server to accept a {probe.object['kind']}"
        case LoadBalancerProbe():
            return f"an address for Service {probe.namespace}/{probe.service}"
        case CrdEstablishedProbe():
            return f"{len(probe.names)} custom resource definitions"
        case ConditionProbe():
            return f"{probe.resource} {probe.name}: {probe.path} = {probe.equals}"


async def load_balancer_address(namespace: str, service: str, clients: Clients) -> str:
    """The address of a LoadBalancer Service.

    Raises:
        NotYet: it has none (yet), with what the cloud provider says about it and what helps.
    """
    live = await clients.kubernetes.get("v1", "Service", service, namespace)
    if live is None:
        raise NotYet(f"There is no Service {namespace}/{service}.")
    points = live.get("status", {}).get("loadBalancer", {}).get("ingress") or []
    address = next((point["ip"] for point in points if point.get("ip")), None)
    if address is None:
        said = await _warning(namespace, service, clients)
        hint = next((right for sign, right in CLOUD_SAYS.items() if said and sign in said), None)
        raise NotYet(f"Service {namespace}/{service} has no load balancer address yet.", detail=said, hint=hint)
    return str(address)


async def _warning(namespace: str, service: str, clients: Clients) -> str | None:
    """The newest warning about a Service."""
    events = await clients.kubernetes.list("v1", "Event", namespace, field_selector=f"involvedObject.name={service}")
    about = [one for one in events if one.get("type") == "Warning" and one["involvedObject"].get("kind") == "Service"]
    newest = max(about, key=lambda event: str(event.get("lastTimestamp") or ""), default=None)
    return str(newest.get("message")) if newest else None


async def _workloads(probe: WorkloadsProbe, clients: Clients) -> str:
    count = 0
    selector = f"app.kubernetes.io/instance={probe.release}"
    for api_version, kind in WORKLOADS:
        for live in await clients.kubernetes.list(api_version, kind, probe.namespace, label_selector=selector):
            waiting = not_available(live)
            if waiting:
                raise NotYet(f"{kind} {live['metadata']['name']}: {waiting}.")
            count += 1
    if not count:
        raise NotYet(f"There are no workloads of {probe.release} in {probe.namespace}.")
    return "1 workload is available" if count == 1 else f"{count} workloads are available"


def not_available(live: dict[str, Any]) -> str | None:
    """Why a workload is not available at the generation that was declared; `None` when it is (pure)."""
    status, spec = live.get("status", {}), live.get("spec", {})
    if status.get("observedGeneration", 0) < live["metadata"].get("generation", 0):
        return "the latest change has not been looked at"
    if live["kind"] == "DaemonSet":
        want, have = status.get("desiredNumberScheduled", 0), status.get("numberAvailable", 0)
        fresh = status.get("updatedNumberScheduled", 0)
    else:
        want, fresh = spec.get("replicas", 1), status.get("updatedReplicas", 0)
        # A Deployment leaves the field out while it is zero, whatever is ready; older StatefulSets do not have it.
        have = status.get("availableReplicas", status.get("readyReplicas", 0) if live["kind"] == "StatefulSet" else 0)
    if fresh < want:
        return f"{fresh} of {want} replicas are updated"
    return f"{have} of {want} replicas are available" if have < want else None


async def _dry_run(probe: DryRunCreateProbe, clients: Clients) -> str:
    try:
        await clients.kubernetes.create(dict(probe.object), dry_run=True)
    except (InvalidInput, NotFound) as error:
        # The object is the catalogue's own and right: a refusal means that its kind or namespace is not there yet.
        raise NotYet(f"A {probe.object['kind']} is refused.", detail=str(error)) from error
    return f"a {probe.object['kind']} is accepted (dry run)"


async def _established(probe: CrdEstablishedProbe, clients: Clients) -> str:
    for name in probe.names:
        live = await clients.kubernetes.get("apiextensions.k8s.io/v1", "CustomResourceDefinition", name)
        conditions = (live or {}).get("status", {}).get("conditions") or []
        if not any(item["type"] == "Established" and item["status"] == "True" for item in conditions):
            raise NotYet(f"CustomResourceDefinition {name} is not established.")
    return f"{len(probe.names)} custom resource definitions are established"


async def _condition(probe: ConditionProbe, clients: Clients) -> str:
    live = await clients.kubernetes.get(probe.api_version, probe.resource, probe.name, probe.namespace)
    if live is None:
        raise NotYet(f"There is no {probe.resource} {probe.name}.")
    generation = live["metadata"].get("generation", 0)
    if any(seen is not None and seen < generation for seen in _looked_at(live, probe.path)):
        raise NotYet(f"{probe.resource} {probe.name} has not been looked at since its last change.")
    value = field(live, probe.path)
    if value != probe.equals:
        raise NotYet(f"{probe.resource} {probe.name}: {probe.path} is {value!r}, not {probe.equals!r}.")
    return f"{probe.resource} {probe.name}: {probe.path} is {value}"


def _looked_at(live: dict[str, Any], path: str) -> list[Any]:
    """The generation the whole status is about, and the one the condition on `path` is about; None if unsaid."""
    condition, picked, _ = path.rpartition("]")
    paths = ["status", *([f"{condition}]"] if picked else [])]
    return [field(live, f"{where}.observedGeneration") for where in paths]


def field(live: dict[str, Any], path: str) -> Any:
    """The value at a dotted path, `conditions[type=Ready]` picking a list item by its type; else None."""
    value: Any = live
    for part in path.split("."):
        name, _, picked = part.partition("[type=")
        value = value.get(name) if isinstance(value, dict) else None
        if picked:
            kind = picked.rstrip("]")
            value = next((item for item in value or [] if item.get("type") == kind), None)
    return value
