"""Rook in small: a CephCluster is healthy when the operator runs and there are nodes enough for its monitors."""

from __future__ import annotations

from deployments.sandbox.controllers.features import Feature, has_labels, runs_container
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import condition, deleting, is_true, key_of, labels, now
from deployments.sandbox.controllers.kube.resources import CEPHCLUSTERS, NODES, Key, Obj
from deployments.sandbox.controllers.nodes import CONTROL_PLANE

FINALIZER = "cephcluster.ceph.rook.io"


class Ceph:
    """Plays Rook's operator for CephClusters."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        by_label, by_container = has_labels(name="rook-ceph-operator"), runs_container("rook-ceph-operator")
        feature = Feature(cluster, lambda workload: by_label(workload) or by_container(workload))
        self._clusters, self._nodes = cluster.informer(CEPHCLUSTERS), cluster.informer(NODES)
        queue = Controller("cephclusters", self._clusters, feature.gate(self.reconcile), workers=1).on(
            self._nodes, lambda _: [key_of(each) for each in self._clusters.all()]
        )
        feature.subscribe(queue.enqueue_all)
        cluster.add(queue)

    async def reconcile(self, key: Key) -> None:
        """Make one CephCluster's status right."""
        ceph = self._clusters.get(*key)
        if ceph is None:
            return
        if deleting(ceph):
            await self._cluster.set_finalizer(CEPHCLUSTERS, ceph, FINALIZER, present=False)
            return
        ceph = await self._cluster.set_finalizer(CEPHCLUSTERS, ceph, FINALIZER, present=True)
        await self._cluster.patch_status(CEPHCLUSTERS, ceph, ceph_status(ceph, self._nodes.all()))


def ceph_status(ceph: Obj, nodes: list[Obj]) -> Obj:
    """The status for the nodes there are: monitors want a node each unless told otherwise."""
    monitors = ceph["spec"].get("mon") or {}
    count = int(monitors.get("count", 3))
    workers = [node for node in nodes if is_true(node, "Ready") and CONTROL_PLANE not in labels(node)]
    known = ceph.get("status") or {}
    enough = len(workers) >= count or bool(monitors.get("allowMultiplePerNode"))
    reason, message = "ClusterCreated", "Cluster created successfully"
    if not enough:
        reason = "ClusterProgressing"
        message = f"{count} monitors need a node each, and there are {len(workers)} worker nodes"
    ready = {"type": "Ready", "status": str(enough), "reason": reason, "message": message}
    before = condition(ceph, "Ready")
    since = before["lastTransitionTime"] if before and before["status"] == ready["status"] else now()
    image = (ceph["spec"].get("cephVersion") or {}).get("image", "")
    return {
        "phase": "Ready" if enough else "Progressing",
        "state": "Created" if enough else "Creating",
        "message": message,
        "observedGeneration": ceph["metadata"].get("generation", 1),
        "conditions": [ready | {"lastTransitionTime": since}],
        "ceph": {
            "health": "HEALTH_OK" if enough else "HEALTH_ERR",
            "lastChecked": (known.get("ceph") or {}).get("lastChecked") or now(),
        },
        "version": {"image": image, "version": image.rpartition(":v")[2]},
    }
