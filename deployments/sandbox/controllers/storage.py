"""Cinder's CSI driver in small: claims of its StorageClasses get volumes in the one zone there is."""

from __future__ import annotations

import uuid

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import annotated, deleting, key_of, quantity
from deployments.sandbox.controllers.kube.resources import (
    CLAIMS,
    CSIDRIVERS,
    STORAGECLASSES,
    VOLUMES,
    Key,
    Obj,
)
from deployments.sandbox.controllers.nodes import ZONE

PROVISIONER = "cinder.csi.openstack.org"
ZONE_KEYS = {"topology.cinder.csi.openstack.org/zone", "topology.kubernetes.io/zone"}
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
FAILED_PAUSE = 15.0


class Storage:
    """The provisioner and the resizer; claims and volumes are bound by Kubernetes itself."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._claims = cluster.informer(CLAIMS)
        self._volumes = cluster.informer(VOLUMES)
        self._classes = cluster.informer(STORAGECLASSES)
        self._drivers = cluster.informer(CSIDRIVERS)
        cluster.add(
            Controller("claims", self._claims, self.reconcile_claim)
            .on(self._volumes, lambda volume: [_claim_key(volume)])
            .on(
                self._classes,
                lambda _: [key_of(each) for each in self._claims.all() if not each["spec"].get("volumeName")],
            )
        )
        cluster.add(Controller("volumes", self._volumes, self.reconcile_volume))
        cluster.add(Controller("csidrivers", self._drivers, self.reconcile_driver))

    async def start(self) -> None:
        """Register the driver, as its node plug-in would."""
        await self._drivers.synced.wait()
        await self.reconcile_driver(("", PROVISIONER))

    async def reconcile_driver(self, key: Key) -> None:
        """Keep the CSIDriver there."""
        if key[1] == PROVISIONER and self._drivers.get(*key) is None:
            spec = {"attachRequired": True, "podInfoOnMount": True, "volumeLifecycleModes": ["Persistent", "Ephemeral"]}
            await self._cluster.create(CSIDRIVERS, {"metadata": {"name": PROVISIONER}, "spec": spec})

    async def reconcile_claim(self, key: Key) -> float | None:
        """Make a claim its volume, or a bound one larger."""
        claim = self._claims.get(*key)
        if claim is None or deleting(claim):
            return None
        storage_class = self._classes.get("", claim["spec"].get("storageClassName") or "")
        if storage_class is None or storage_class["provisioner"] != PROVISIONER:
            return None
        if claim["spec"].get("volumeName"):
            await self._grow(claim, storage_class)
            return None
        if self._volumes.get("", volume_name(claim)) is None and is_wanted(claim, storage_class):
            return await self._provision(claim, storage_class)
        return None

    async def _provision(self, claim: Obj, storage_class: Obj) -> float | None:
        reason = refusal(storage_class)
        if reason:
            message = f'failed to provision volume with StorageClass "{storage_class["metadata"]["name"]}": {reason}'
            await self._cluster.event(CLAIMS, claim, "ProvisioningFailed", message, warning=True)
            return FAILED_PAUSE
        await self._cluster.create(VOLUMES, describe(claim, storage_class))
        return None

    async def _grow(self, claim: Obj, storage_class: Obj) -> None:
        """What the CSI driver's resizer does: the volume first, then the claim's status."""
        if not _grew(claim) or not storage_class.get("allowVolumeExpansion"):
            return
        capacity = {"capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]}}
        volume = self._volumes.get("", claim["spec"]["volumeName"])
        if volume is not None:
            await self._cluster.patch(VOLUMES, volume, {"spec": capacity})
            await self._cluster.patch_status(CLAIMS, claim, capacity)

    async def reconcile_volume(self, key: Key) -> None:
        """Delete a volume whose claim has gone, where its class says so."""
        volume = self._volumes.get(*key)
        if volume is None or annotated(volume).get(PROVISIONED_BY) != PROVISIONER or deleting(volume):
            return
        released = (volume.get("status") or {}).get("phase") == "Released"
        if released and volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            await self._cluster.client.delete(VOLUMES, "", key[1], uid=volume["metadata"]["uid"])


def volume_name(claim: Obj) -> str:
    """The name the provisioner gives the volume of a claim."""
    return f"pvc-{claim['metadata']['uid']}"


def is_wanted(claim: Obj, storage_class: Obj) -> bool:
    """Whether a volume is to be made now: of most classes at once, of others when the scheduler has chosen a node."""
    return storage_class.get("volumeBindingMode") != "WaitForFirstConsumer" or SELECTED_NODE in annotated(claim)


def refusal(storage_class: Obj) -> str | None:
    """Why Cinder makes no volume of this class, or None."""
    asked = (storage_class.get("parameters") or {}).get("availability")
    if asked and asked != ZONE:
        return f"rpc error: code = Internal desc = Availability zone '{asked}' is invalid"
    for topology in storage_class.get("allowedTopologies") or []:
        for expression in topology.get("matchLabelExpressions") or []:
            if expression["key"] in ZONE_KEYS and ZONE not in expression["values"]:
                return f"no topology key found on any node for {expression['key']} in {', '.join(expression['values'])}"
    return None


def describe(claim: Obj, storage_class: Obj) -> Obj:
    """The volume for a claim."""
    namespace, name = key_of(claim)
    uid = claim["metadata"]["uid"]
    terms = [
        {"matchExpressions": [{"key": "topology.cinder.csi.openstack.org/zone", "operator": "In", "values": [ZONE]}]}
    ]
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": uid}
    return {
        "metadata": {
            "name": volume_name(claim),
            "annotations": {PROVISIONED_BY: PROVISIONER},
        },
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": claim["spec"]["resources"]["requests"]["storage"]},
            "claimRef": reference,
            "csi": {
                "driver": PROVISIONER,
                "fsType": (storage_class.get("parameters") or {}).get("csi.storage.k8s.io/fstype", "ext4"),
                "volumeHandle": str(uuid.uuid5(uuid.NAMESPACE_OID, uid)),
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            "persistentVolumeReclaimPolicy": storage_class.get("reclaimPolicy", "Delete"),
            "storageClassName": storage_class["metadata"]["name"],
            "volumeMode": claim["spec"].get("volumeMode", "Filesystem"),
        },
    }


def _grew(claim: Obj) -> bool:
    has = ((claim.get("status") or {}).get("capacity") or {}).get("storage", "0")
    return quantity(claim["spec"]["resources"]["requests"]["storage"]) > quantity(has)


def _claim_key(volume: Obj) -> Key:
    reference = volume["spec"].get("claimRef") or {}
    return reference.get("namespace", ""), reference.get("name", "")
