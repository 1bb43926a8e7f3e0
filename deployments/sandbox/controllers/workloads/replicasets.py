"""ReplicaSets: as many pods as were asked for."""

from __future__ import annotations

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import deleting
from deployments.sandbox.controllers.kube.resources import PODS, REPLICASETS, Key
from deployments.sandbox.controllers.workloads.pods import (
    active,
    from_template,
    owned,
    parent_key,
    random_suffix,
    ready,
    surplus,
)


class ReplicaSets:
    """The ReplicaSet controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._sets = cluster.informer(REPLICASETS)
        self._pods = cluster.informer(PODS)
        cluster.add(
            Controller("replicasets", self._sets, self.reconcile, workers=8).on(
                self._pods, lambda pod: parent_key(pod, "ReplicaSet")
            )
        )

    async def reconcile(self, key: Key) -> None:
        """Make one ReplicaSet's pods as many as asked."""
        replica_set = self._sets.get(*key)
        if replica_set is None or deleting(replica_set):
            return
        wanted = replica_set["spec"].get("replicas", 1)
        pods = active(owned(self._pods, replica_set))
        for _ in range(wanted - len(pods)):
            name = f"{key[1]}-{random_suffix()}"
            pod = from_template(replica_set["spec"]["template"], replica_set, REPLICASETS, name=name)
            await self._cluster.create(PODS, pod)
        for pod in surplus(pods, len(pods) - wanted) if len(pods) > wanted else []:
            await self._cluster.delete(PODS, pod)
        pods = active(owned(self._pods, replica_set))
        serving = ready(pods)
        status = {
            "observedGeneration": replica_set["metadata"].get("generation", 1),
            "replicas": len(pods),
            "fullyLabeledReplicas": len(pods) or None,
            "readyReplicas": serving or None,
            "availableReplicas": serving or None,
        }
        await self._cluster.patch_status(REPLICASETS, replica_set, status)
