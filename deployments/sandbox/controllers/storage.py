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
from deployments.sandbox.controllers.kubelet import SELECTED_NODE
from deployments.sandbox.controllers.nodes import ZONE

PROVISIONER = "cinder.csi.openstack.org"
ZONE_KEYS = {"topology.cinder.csi.openstack.org/zone", "topology.kubernetes.io/zone"}
DEFAULT_CLASS = "storageclass.kubernetes.io/is-default-class"
BOUND = {"pv.kubernetes.io/bind-completed": "yes", "pv.kubernetes.io/bound-by-controller": "yes"}
FAILED_PAUSE = 15.0


class Storage:
    """The provisioner and the persistent-volume controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._claims = cluster.informer(CLAIMS)
        self._volumes = cluster.informer(VOLUMES)
        self._classes = cluster.informer(STORAGECLASSES)
        self._drivers = cluster.informer(CSIDRIVERS)
        cluster.add(
            Controller("claims", self._claims, self.reconcile_claim)
            .on(self._volumes, lambda volume: [_claim_key(volume)])
            .on(self._classes, lambda _: [key_of(claim) for claim in self._claims.all() if not _bound(claim)])
        )
        cluster.add(
            Controller("volumes", self._volumes, self.reconcile_volume).on(
                self._claims, lambda claim: [("", volume_name(claim))]
            )
        )
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
        """Get a claim its volume."""
        claim = self._claims.get(*key)
        if claim is None or deleting(claim) or (_bound(claim) and not _grew(claim)):
            return None
        claim = await self._default_class(claim)
        storage_class = self._classes.get("", claim["spec"].get("storageClassName") or "")
        if storage_class is None or storage_class["provisioner"] != PROVISIONER:
            return None
        volume = self._volumes.get("", volume_name(claim))
        if volume is None:
            reason = refusal(storage_class)
            if reason:
                message = (
                    f'failed to provision volume with StorageClass "{storage_class["metadata"]["name"]}": {reason}'
                )
                await self._cluster.event(CLAIMS, claim, "ProvisioningFailed", message, warning=True)
                return FAILED_PAUSE
            if waits_for_consumer(storage_class) and SELECTED_NODE not in annotated(claim):
                message = "waiting for first consumer to be created before binding"
                await self._cluster.event(CLAIMS, claim, "WaitForFirstConsumer", message)
                return None
            volume = await self._cluster.create(VOLUMES, describe(claim, storage_class))
            if volume is None:
                return FIRST_LOOK
        await self._bind(claim, volume, storage_class)
        return None

    async def _default_class(self, claim: Obj) -> Obj:
        """What the real server's DefaultStorageClass admission does; the embedded one leaves it to us."""
        if "storageClassName" in claim["spec"] or not self._cluster.embedded:
            return claim
        default = next((each for each in self._classes.all() if annotated(each).get(DEFAULT_CLASS) == "true"), None)
        if default is None:
            return claim
        return await self._cluster.patch(CLAIMS, claim, {"spec": {"storageClassName": default["metadata"]["name"]}})

    async def _bind(self, claim: Obj, volume: Obj, storage_class: Obj) -> None:
        asked = claim["spec"]["resources"]["requests"]["storage"]
        if quantity(asked) > quantity(volume["spec"]["capacity"]["storage"]):
            if not storage_class.get("allowVolumeExpansion"):
                return
            volume = await self._cluster.patch(VOLUMES, volume, {"spec": {"capacity": {"storage": asked}}})
        await self._cluster.patch_status(VOLUMES, volume, {"phase": "Bound"})
        if not claim["spec"].get("volumeName"):
            change = {"metadata": {"annotations": BOUND}, "spec": {"volumeName": volume["metadata"]["name"]}}
            claim = await self._cluster.patch(CLAIMS, claim, change)
        status = {
            "phase": "Bound",
            "accessModes": volume["spec"]["accessModes"],
            "capacity": {"storage": volume["spec"]["capacity"]["storage"]},
        }
        await self._cluster.patch_status(CLAIMS, claim, status)

    async def reconcile_volume(self, key: Key) -> None:
        """Let a volume go when its claim has gone."""
        volume = self._volumes.get(*key)
        if volume is None or annotated(volume).get("pv.kubernetes.io/provisioned-by") != PROVISIONER:
            return
        reference = volume["spec"].get("claimRef") or {}
        claim = self._claims.get(reference.get("namespace", ""), reference.get("name", ""))
        if deleting(volume) or (claim is not None and claim["metadata"]["uid"] == reference.get("uid")):
            return
        volume = await self._cluster.patch_status(VOLUMES, volume, {"phase": "Released"})
        if volume["spec"].get("persistentVolumeReclaimPolicy") == "Delete":
            await self._cluster.client.delete(VOLUMES, "", key[1], uid=volume["metadata"]["uid"])


FIRST_LOOK = 0.1


def volume_name(claim: Obj) -> str:
    """The name the provisioner gives the volume of a claim."""
    return f"pvc-{claim['metadata']['uid']}"


def waits_for_consumer(storage_class: Obj) -> bool:
    """Whether volumes are made only when a pod wants them."""
    return storage_class.get("volumeBindingMode") == "WaitForFirstConsumer"


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
            "annotations": {"pv.kubernetes.io/provisioned-by": PROVISIONER},
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


def _bound(claim: Obj) -> bool:
    return (claim.get("status") or {}).get("phase") == "Bound"


def _grew(claim: Obj) -> bool:
    has = ((claim.get("status") or {}).get("capacity") or {}).get("storage", "0")
    return quantity(claim["spec"]["resources"]["requests"]["storage"]) > quantity(has)


def _claim_key(volume: Obj) -> Key:
    reference = volume["spec"].get("claimRef") or {}
    return reference.get("namespace", ""), reference.get("name", "")
