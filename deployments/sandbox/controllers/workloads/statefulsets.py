"""StatefulSets: numbered pods in order, each with claims of its own."""

from __future__ import annotations

import copy

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import deleting, is_true, labels, short_hash
from deployments.sandbox.controllers.kube.resources import CLAIMS, PODS, STATEFULSETS, Key, Obj
from deployments.sandbox.controllers.workloads.pods import from_template, owned, parent_key, phase, ready

REVISION = "controller-revision-hash"


class StatefulSets:
    """The StatefulSet controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.informer(STATEFULSETS)
        self._pods = cluster.informer(PODS)
        self._claims = cluster.informer(CLAIMS)
        cluster.add(
            Controller("statefulsets", self._sets, self.reconcile)
            .on(self._pods, lambda pod: parent_key(pod, "StatefulSet"))
            .reading(self._claims)
        )

    async def reconcile(self, key: Key) -> None:
        """Take one StatefulSet a step further."""
        parent = self._sets.get(*key)
        if parent is None or deleting(parent):
            return
        update = revision_of(parent)
        pods = {pod["metadata"]["name"]: pod for pod in owned(self._pods, parent)}
        await self._step(parent, pods, update)
        pods = {pod["metadata"]["name"]: pod for pod in owned(self._pods, parent)}
        await self._cluster.patch_status(STATEFULSETS, parent, set_status(parent, list(pods.values()), update))

    async def _step(self, parent: Obj, pods: dict[str, Obj], update: str) -> None:
        ordered = parent["spec"].get("podManagementPolicy", "OrderedReady") == "OrderedReady"
        wanted = [f"{parent['metadata']['name']}-{number}" for number in range(parent["spec"].get("replicas", 1))]
        for number, name in enumerate(wanted):
            pod = pods.get(name)
            if pod is not None and phase(pod) in {"Succeeded", "Failed"}:
                await self._cluster.delete(PODS, pod)
            elif pod is None:
                await self._make(parent, name, number, update)
            if ordered and (pod is None or deleting(pod) or not is_true(pod, "Ready")):
                return
        extra = sorted(set(pods) - set(wanted), key=ordinal, reverse=True)
        for name in extra[:1] if ordered else extra:
            await self._cluster.delete(PODS, pods[name])
        if extra or (parent["spec"].get("updateStrategy") or {}).get("type") == "OnDelete":
            return
        if all(is_true(pods[name], "Ready") and not deleting(pods[name]) for name in wanted if name in pods):
            await self._update(parent, pods, wanted, update)

    async def _update(self, parent: Obj, pods: dict[str, Obj], wanted: list[str], update: str) -> None:
        rolling = (parent["spec"].get("updateStrategy") or {}).get("rollingUpdate") or {}
        for name in reversed(wanted[int(rolling.get("partition", 0)) :]):
            pod = pods.get(name)
            if pod is not None and labels(pod).get(REVISION) != update:
                await self._cluster.delete(PODS, pod)
                return

    async def _make(self, parent: Obj, name: str, number: int, update: str) -> None:
        found = {
            REVISION: update,
            "statefulset.kubernetes.io/pod-name": name,
            "apps.kubernetes.io/pod-index": str(number),
        }
        pod = from_template(parent["spec"]["template"], parent, STATEFULSETS, name=name, labels=found)
        pod["spec"] |= {"hostname": name, "subdomain": parent["spec"].get("serviceName", "")}
        templates = parent["spec"].get("volumeClaimTemplates") or []
        volumes = [each for each in pod["spec"].get("volumes") or [] if each["name"] not in _names(templates)]
        for template in templates:
            claim = claim_for(template, parent, name)
            if self._claims.get(parent["metadata"]["namespace"], claim["metadata"]["name"]) is None:
                await self._cluster.create(CLAIMS, claim)
            source = {"claimName": claim["metadata"]["name"]}
            volumes.append({"name": template["metadata"]["name"], "persistentVolumeClaim": source})
        if volumes:
            pod["spec"]["volumes"] = volumes
        await self._cluster.create(PODS, pod)


def ordinal(name: str) -> int:
    """The number at the end of a pod's name."""
    return int(name.rsplit("-", 1)[1])


def revision_of(parent: Obj) -> str:
    """The revision a StatefulSet's or DaemonSet's template makes."""
    return f"{parent['metadata']['name']}-{short_hash(parent['spec']['template'])}"


def claim_for(template: Obj, parent: Obj, pod: str) -> Obj:
    """The claim of one pod from a volumeClaimTemplate. It has no owner: volumes outlive their set."""
    spec = copy.deepcopy(template["spec"])
    return {
        "metadata": {
            "name": f"{template['metadata']['name']}-{pod}",
            "namespace": parent["metadata"]["namespace"],
            "labels": {**labels(template), **(parent["spec"]["selector"].get("matchLabels") or {})},
            "annotations": dict(template["metadata"].get("annotations") or {}),
        },
        "spec": spec,
    }


def set_status(parent: Obj, pods: list[Obj], update: str) -> Obj:
    """The StatefulSet's status for the pods there are."""
    pods = [pod for pod in pods if not deleting(pod)]
    updated = sum(1 for pod in pods if labels(pod).get(REVISION) == update)
    wanted = parent["spec"].get("replicas", 1)
    current = (parent.get("status") or {}).get("currentRevision") or update
    if updated == len(pods) == wanted and ready(pods) == wanted:
        current = update
    on_current = sum(1 for pod in pods if labels(pod).get(REVISION) == current)
    return {
        "observedGeneration": parent["metadata"].get("generation", 1),
        "replicas": len(pods),
        "readyReplicas": ready(pods) or None,
        "availableReplicas": ready(pods),
        "currentReplicas": on_current or None,
        "updatedReplicas": updated or None,
        "currentRevision": current,
        "updateRevision": update,
    }


def _names(templates: list[Obj]) -> set[str]:
    return {template["metadata"]["name"] for template in templates}
