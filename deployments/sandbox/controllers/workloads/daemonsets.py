"""DaemonSets: one pod on each node that suits."""

from __future__ import annotations

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import deleting, is_true, key_of, labels
from deployments.sandbox.controllers.kube.resources import DAEMONSETS, NODES, PODS, Key, Obj
from deployments.sandbox.controllers.scheduling import why_not
from deployments.sandbox.controllers.workloads.pods import from_template, owned, parent_key, phase, random_suffix, ready
from deployments.sandbox.controllers.workloads.statefulsets import REVISION, revision_of

TOLERATED = ("not-ready", "unreachable", "disk-pressure", "memory-pressure", "pid-pressure", "unschedulable")


class DaemonSets:
    """The DaemonSet controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.informer(DAEMONSETS)
        self._pods = cluster.informer(PODS)
        self._nodes = cluster.informer(NODES)
        cluster.add(
            Controller("daemonsets", self._sets, self.reconcile)
            .on(self._pods, lambda pod: parent_key(pod, "DaemonSet"))
            .on(self._nodes, lambda _: [key_of(each) for each in self._sets.all()])
        )

    async def reconcile(self, key: Key) -> None:
        """Make one DaemonSet's pods fit the nodes."""
        parent = self._sets.get(*key)
        if parent is None or deleting(parent):
            return
        update = revision_of(parent)
        wanted = {node["metadata"]["name"] for node in self._nodes.all() if why_not(probe(parent), node) is None}
        pods = [pod for pod in owned(self._pods, parent) if not deleting(pod)]
        for pod in pods:
            if target(pod) not in wanted or phase(pod) in {"Succeeded", "Failed"}:
                await self._cluster.delete(PODS, pod)
        for node in sorted(wanted - {target(pod) for pod in pods}):
            await self._cluster.create(PODS, daemon_pod(parent, node, update))
        await self._update(parent, pods, update)
        pods = [pod for pod in owned(self._pods, parent) if not deleting(pod) and target(pod) in wanted]
        await self._cluster.patch_status(DAEMONSETS, parent, daemon_status(parent, pods, len(wanted), update))

    async def _update(self, parent: Obj, pods: list[Obj], update: str) -> None:
        if (parent["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
            return
        outdated = [pod for pod in pods if labels(pod).get(REVISION) != update]
        broken = [pod for pod in outdated if not is_true(pod, "Ready")]
        # One healthy pod at a time (maxUnavailable's default), the broken ones at once.
        all_serve = all(is_true(pod, "Ready") for pod in pods)
        for pod in [*broken, *([each for each in outdated if each not in broken][:1] if all_serve else [])]:
            await self._cluster.delete(PODS, pod)


def probe(parent: Obj) -> Obj:
    """A pod of the set that stands nowhere yet, to ask which nodes would take it."""
    return daemon_pod(parent, None, "")


def daemon_pod(parent: Obj, node: str | None, update: str) -> Obj:
    """The set's pod for one node, bound to it by affinity as the real controller does."""
    found = {REVISION: update, "pod-template-generation": str(parent["metadata"].get("generation", 1))}
    name = f"{parent['metadata']['name']}-{random_suffix()}"
    pod = from_template(parent["spec"]["template"], parent, DAEMONSETS, name=name, labels=found)
    known = {f"node.kubernetes.io/{word}" for word in TOLERATED}
    tolerations = [{"key": key, "operator": "Exists"} for key in sorted(known)]
    pod["spec"]["tolerations"] = [*(pod["spec"].get("tolerations") or []), *tolerations]
    if node is not None:
        term = {"matchFields": [{"key": "metadata.name", "operator": "In", "values": [node]}]}
        required = {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": [term]}}
        pod["spec"]["affinity"] = {**(pod["spec"].get("affinity") or {}), "nodeAffinity": required}
    return pod


def target(pod: Obj) -> str:
    """The node a daemon pod is for."""
    required = pod["spec"]["affinity"]["nodeAffinity"]["requiredDuringSchedulingIgnoredDuringExecution"]
    return str(required["nodeSelectorTerms"][0]["matchFields"][0]["values"][0])


def daemon_status(parent: Obj, pods: list[Obj], wanted: int, update: str) -> Obj:
    """The DaemonSet's status for the pods there are."""
    serving = ready(pods)
    return {
        "observedGeneration": parent["metadata"].get("generation", 1),
        "desiredNumberScheduled": wanted,
        "currentNumberScheduled": len(pods),
        "numberMisscheduled": 0,
        "numberReady": serving,
        "numberAvailable": serving or None,
        "numberUnavailable": max(0, wanted - serving) or None,
        "updatedNumberScheduled": sum(1 for pod in pods if labels(pod).get(REVISION) == update) or None,
    }
