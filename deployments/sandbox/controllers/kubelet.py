"""Scheduler and kubelets in one: pods are bound, start, become Ready, complete, fail when told to, and end."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    annotated,
    deleting,
    key_of,
    now,
    owner,
    set_condition,
)
from deployments.sandbox.controllers.kube.resources import CLAIMS, CONFIGMAPS, NODES, PODS, SECRETS, Key, Obj
from deployments.sandbox.controllers.scheduling import choose, claims_of, references, refusal

FAIL = "plumbline.dev/sandbox-fail"
"""Annotation on a pod: its containers crash, for the reason that is its value."""

SELECTED_NODE = "volume.kubernetes.io/selected-node"
POD_NETWORK = ipaddress.ip_network("10.100.0.0/16")
"""Magnum's default for flannel. Nothing listens there: nobody runs containers."""

MISSING_PAUSE = 1.0
"""Seconds between two looks for a Secret or ConfigMap that a pod cannot start without."""


class Kubelet:
    """Plays the scheduler and every node's kubelet."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._pods = cluster.informer(PODS)
        self._nodes = cluster.informer(NODES)
        self._claims = cluster.informer(CLAIMS)
        self._addresses = PodAddresses()
        self._pods.subscribe(self._addresses.changed)
        cluster.add(
            Controller("kubelet", self._pods, self.reconcile, workers=8)
            .on(self._nodes, lambda _: self._unscheduled())
            .on(self._claims, self._waiting_for)
        )

    async def reconcile(self, key: Key) -> float | None:
        """Take one pod the next step of its life."""
        pod = self._pods.get(*key)
        if pod is None or ((pod.get("status") or {}).get("phase") in {"Succeeded", "Failed"} and not deleting(pod)):
            return None
        if deleting(pod):
            await self._end(pod)
            return None
        if not pod["spec"].get("nodeName"):
            await self._schedule(pod)
            return None
        return await self._start(pod)

    async def _end(self, pod: Obj) -> None:
        # A deletion timestamp with grace 0 is only held up by finalizers, which are others' business.
        if pod["metadata"].get("deletionGracePeriodSeconds", 0) > 0 or not pod["metadata"].get("finalizers"):
            await self._cluster.client.delete(PODS, *key_of(pod), uid=pod["metadata"]["uid"], grace=0)

    async def _schedule(self, pod: Obj) -> None:
        unbound = await self._unbound_claims(pod)
        nodes = self._nodes.all()
        node = None if unbound else choose(pod, nodes, self._pods.all())
        if node is None:
            message = unbound or refusal(pod, nodes)
            if (_condition(pod, "PodScheduled") or {}).get("message") != message:
                known = (pod.get("status") or {}).get("conditions")
                conditions = set_condition(known, "PodScheduled", False, "Unschedulable", message)
                await self._cluster.patch_status(PODS, pod, {"phase": "Pending", "conditions": conditions})
                await self._cluster.event(PODS, pod, "FailedScheduling", message, warning=True)
            return
        namespace, name = key_of(pod)
        body = {
            "apiVersion": "v1",
            "kind": "Binding",
            "metadata": {"name": name, "namespace": namespace, "uid": pod["metadata"]["uid"]},
            "target": {"apiVersion": "v1", "kind": "Node", "name": node["metadata"]["name"]},
        }
        await self._cluster.client.request("POST", PODS.path(namespace, name, "binding"), body=body)

    async def _unbound_claims(self, pod: Obj) -> str | None:
        """Why the pod's claims keep it from being scheduled; asks for volumes that wait for their first consumer."""
        namespace, _ = key_of(pod)
        waiting = None
        for name in claims_of(pod):
            claim = self._claims.get(namespace, name)
            if claim is None:
                return f'persistentvolumeclaim "{name}" not found'
            if (claim.get("status") or {}).get("phase") == "Bound":
                continue
            waiting = "pod has unbound immediate PersistentVolumeClaims"
            node = choose(pod, self._nodes.all(), self._pods.all())
            if node is not None and SELECTED_NODE not in annotated(claim):
                change = {"metadata": {"annotations": {SELECTED_NODE: node["metadata"]["name"]}}}
                await self._cluster.patch(CLAIMS, claim, change)
        return waiting

    async def _start(self, pod: Obj) -> float | None:
        missing = await self._missing(pod)
        if missing and not _started(pod):
            message = f"{missing[0].lower()} {missing[1]!r} not found"
            await self._cluster.event(PODS, pod, "FailedMount", message, warning=True)
            await self._cluster.patch_status(PODS, pod, waiting_status(pod, "ContainerCreating", message))
            return MISSING_PAUSE
        failing = annotated(pod).get(FAIL)
        address = (pod.get("status") or {}).get("podIP") or self._addresses.take(pod)
        node = self._nodes.get("", pod["spec"]["nodeName"])
        host = next((each["address"] for each in (node or {}).get("status", {}).get("addresses") or []), "")
        status = run_status(pod, address, host, failing)
        changed = await self._cluster.patch_status(PODS, pod, status)
        if failing and changed is not pod:
            message = f"Back-off restarting failed container: {failing}"
            await self._cluster.event(PODS, pod, "BackOff", message, warning=True)
        return None

    async def _missing(self, pod: Obj) -> tuple[str, str] | None:
        if _started(pod):
            return None
        namespace, _ = key_of(pod)
        for kind, name in sorted(references(pod)):
            resource = SECRETS if kind == "Secret" else CONFIGMAPS
            if await self._cluster.client.get(resource, namespace, name) is None:
                return kind, name
        return None

    def _unscheduled(self) -> list[Key]:
        return [key_of(pod) for pod in self._pods.all() if not pod["spec"].get("nodeName")]

    def _waiting_for(self, claim: Obj) -> list[Key]:
        namespace, name = key_of(claim)
        pods = self._pods.all(namespace)
        return [key_of(pod) for pod in pods if not pod["spec"].get("nodeName") and name in claims_of(pod)]


class PodAddresses:
    """Addresses of the pod network, each in one pod's hands."""

    def __init__(self) -> None:
        self._taken: dict[str, str] = {}
        self._next = 10

    def changed(self, old: Obj | None, new: Obj | None) -> None:
        """Learn from an event on a pod which addresses are taken and which are free again."""
        if new is not None:
            address = (new.get("status") or {}).get("podIP")
            if address:
                self._taken[address] = new["metadata"]["uid"]
        elif old is not None:
            uid = old["metadata"]["uid"]
            self._taken = {address: holder for address, holder in self._taken.items() if holder != uid}

    def take(self, pod: Obj) -> str:
        """The next free address."""
        size = POD_NETWORK.num_addresses - 2
        for _ in range(size):
            self._next = self._next % size + 1
            address = str(POD_NETWORK[self._next])
            if address not in self._taken:
                self._taken[address] = pod["metadata"]["uid"]
                return address
        raise OSError(f"no free address in {POD_NETWORK}")


def completes(pod: Obj) -> bool:
    """Whether the pod's containers end by themselves: those of Jobs, and bare pods that are not to be restarted."""
    if pod["spec"].get("restartPolicy", "Always") == "Always":
        return False
    reference = owner(pod)
    return reference is None or reference["kind"] == "Job"


def run_status(pod: Obj, address: str, host: str, failing: str | None) -> Obj:
    """The status of a pod whose containers run, have completed, or crash for the reason `failing`."""
    known = pod.get("status") or {}
    moment = known.get("startTime") or now()
    never = pod["spec"].get("restartPolicy") == "Never"
    if failing:
        state, phase, reason = "crashed", "Failed" if never else "Running", "ContainersNotReady"
    elif completes(pod):
        state, phase, reason = "completed", "Succeeded", "PodCompleted"
    else:
        state, phase, reason = "running", "Running", ""
    conditions = known.get("conditions")
    for kind in ("Initialized", "PodScheduled"):
        conditions = set_condition(conditions, kind, True, "")
    for kind in ("Ready", "ContainersReady"):
        conditions = set_condition(conditions, kind, state == "running", reason, failing or "")
    return {
        "phase": phase,
        "conditions": conditions,
        "startTime": moment,
        "hostIP": host,
        "podIP": address,
        "podIPs": [{"ip": address}],
        "containerStatuses": _containers(pod, pod["spec"]["containers"], state, moment, failing),
    } | (
        {"initContainerStatuses": _containers(pod, pod["spec"]["initContainers"], "completed", moment, None)}
        if pod["spec"].get("initContainers")
        else {}
    )


def waiting_status(pod: Obj, reason: str, message: str) -> Obj:
    """The status of a pod whose containers cannot be created yet."""
    waiting = {"waiting": {"reason": reason, "message": message}}
    states = [_container(pod, container, waiting, ready=False, restarts=0) for container in pod["spec"]["containers"]]
    conditions = set_condition((pod.get("status") or {}).get("conditions"), "PodScheduled", True, "")
    conditions = set_condition(conditions, "Ready", False, "ContainersNotReady", message)
    return {"phase": "Pending", "conditions": conditions, "containerStatuses": states}


def _containers(pod: Obj, containers: Iterable[Obj], state: str, moment: str, failing: str | None) -> list[Obj]:
    ended = {"startedAt": moment, "finishedAt": moment}
    crashed = {"exitCode": 1, "reason": "Error", "message": failing or "", **ended}
    if state == "crashed" and pod["spec"].get("restartPolicy") != "Never":
        back_off = {
            "waiting": {"reason": "CrashLoopBackOff", "message": f"back-off restarting failed container: {failing}"}
        }
        return [
            _container(pod, each, back_off, ready=False, restarts=1) | {"lastState": {"terminated": crashed}}
            for each in containers
        ]
    states: dict[str, Obj] = {
        "running": {"running": {"startedAt": moment}},
        "completed": {"terminated": {"exitCode": 0, "reason": "Completed", **ended}},
        "crashed": {"terminated": crashed},
    }
    return [_container(pod, each, states[state], ready=state == "running", restarts=0) for each in containers]


def _container(pod: Obj, container: Obj, state: Obj, *, ready: bool, restarts: int) -> Obj:
    image = container.get("image", "")
    return {
        "name": container["name"],
        "image": image,
        "imageID": f"sandbox://{image}",
        "containerID": f"sandbox://{pod['metadata']['uid']}/{container['name']}",
        "ready": ready,
        "started": ready,
        "restartCount": restarts,
        "state": state,
    }


def _condition(pod: Obj, kind: str) -> Obj | None:
    known = (pod.get("status") or {}).get("conditions") or []
    return next((each for each in known if each["type"] == kind), None)


def _started(pod: Obj) -> bool:
    return bool((pod.get("status") or {}).get("podIP"))
