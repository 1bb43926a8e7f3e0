"""Endpoints and EndpointSlices: where a Service's pods are reached."""

from __future__ import annotations

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    contains,
    deleting,
    is_true,
    key_of,
    labels,
    matches,
    owner_reference,
)
from deployments.sandbox.controllers.kube.resources import ENDPOINTS, ENDPOINTSLICES, PODS, SERVICES, Key, Obj, Resource

SERVICE_LABEL = "kubernetes.io/service-name"


class Endpoints:
    """The endpoints and the endpoint slice controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._services = cluster.informer(SERVICES)
        self._pods = cluster.informer(PODS)
        self._endpoints = cluster.informer(ENDPOINTS)
        self._slices = cluster.informer(ENDPOINTSLICES)
        cluster.add(
            Controller("endpoints", self._services, self.reconcile)
            .on(self._pods, self._selecting)
            .on(self._endpoints, lambda each: [key_of(each)])
            .on(self._slices, lambda each: [(key_of(each)[0], labels(each).get(SERVICE_LABEL, ""))])
        )

    async def reconcile(self, key: Key) -> None:
        """Make one Service's endpoints right."""
        service = self._services.get(*key)
        known = self._endpoints.get(*key)
        if service is None:
            if known is not None and labels(known).get("endpoints.kubernetes.io/managed-by"):
                await self._cluster.delete(ENDPOINTS, known)
            return
        selector = service["spec"].get("selector")
        if not selector or deleting(service):
            return
        pods = [
            pod for pod in self._pods.all(key[0]) if _reachable(pod) and matches({"matchLabels": selector}, labels(pod))
        ]
        pods.sort(key=lambda pod: pod["metadata"]["name"])
        await self._write(ENDPOINTS, known, endpoints_for(service, pods))
        slice_name = f"{key[1]}-sandbox"
        await self._write(ENDPOINTSLICES, self._slices.get(key[0], slice_name), slice_for(service, pods, slice_name))

    async def _write(self, resource: Resource, known: Obj | None, wanted: Obj) -> None:
        if known is None:
            await self._cluster.create(resource, wanted)
        elif not contains(known, wanted):
            await self._cluster.patch(resource, known, wanted)

    def _selecting(self, pod: Obj) -> list[Key]:
        namespace, _ = key_of(pod)
        return [
            key_of(service)
            for service in self._services.all(namespace)
            if service["spec"].get("selector") and matches({"matchLabels": service["spec"]["selector"]}, labels(pod))
        ]


def _reachable(pod: Obj) -> bool:
    status = pod.get("status") or {}
    return bool(status.get("podIP")) and status.get("phase") == "Running" and not deleting(pod)


def target_port(service_port: Obj, pod: Obj) -> int | None:
    """The number of the port a Service's port leads to on a pod; None for a name the pod does not know."""
    target = service_port.get("targetPort", service_port["port"])
    if isinstance(target, int):
        return target
    for container in pod["spec"]["containers"]:
        for port in container.get("ports") or []:
            if port.get("name") == target:
                return int(port["containerPort"])
    return None


def ports_for(service: Obj, pods: list[Obj]) -> list[Obj]:
    """The endpoint ports, by the first pod: a set whose pods number a named port differently gets one number."""
    ports = []
    for port in service["spec"].get("ports") or []:
        number = target_port(port, pods[0]) if pods else None
        if number is not None:
            named = {"name": port["name"]} if port.get("name") else {}
            ports.append({**named, "port": number, "protocol": port.get("protocol", "TCP")})
    return ports


def endpoints_for(service: Obj, pods: list[Obj]) -> Obj:
    """The Service's Endpoints."""
    ports = ports_for(service, pods)
    subset: Obj = {}
    for field, serving in (("addresses", True), ("notReadyAddresses", False)):
        found = [_address(pod) for pod in pods if is_true(pod, "Ready") == serving]
        if found:
            subset[field] = found
    if subset and ports:
        subset["ports"] = ports
    metadata = service["metadata"]
    own = {"endpoints.kubernetes.io/managed-by": "plumbline-sandbox"}
    return {
        "metadata": {
            "name": metadata["name"],
            "namespace": metadata["namespace"],
            "labels": {**labels(service), **own},
        },
        "subsets": [subset] if subset else None,
    }


def slice_for(service: Obj, pods: list[Obj], name: str) -> Obj:
    """The Service's EndpointSlice."""
    endpoints = [
        {
            "addresses": [pod["status"]["podIP"]],
            "conditions": {"ready": is_true(pod, "Ready"), "serving": is_true(pod, "Ready"), "terminating": False},
            "nodeName": pod["spec"].get("nodeName"),
            "targetRef": _address(pod)["targetRef"],
        }
        for pod in pods
    ]
    own = {SERVICE_LABEL: service["metadata"]["name"], "endpointslice.kubernetes.io/managed-by": "plumbline-sandbox"}
    return {
        "metadata": {
            "name": name,
            "namespace": service["metadata"]["namespace"],
            "labels": own,
            "ownerReferences": [owner_reference(service, SERVICES)],
        },
        "addressType": "IPv4",
        "endpoints": endpoints,
        "ports": ports_for(service, pods),
    }


def _address(pod: Obj) -> Obj:
    metadata = pod["metadata"]
    reference = {"kind": "Pod", "namespace": metadata["namespace"], "name": metadata["name"], "uid": metadata["uid"]}
    return {"ip": pod["status"]["podIP"], "nodeName": pod["spec"].get("nodeName"), "targetRef": reference}
