"""Cinder's CSI driver in small: claims of its StorageClasses get volumes of Cinder's; Kubernetes itself binds them."""

from __future__ import annotations

import math

from deployments.sandbox.controllers.cloud import Cloud, CloudError
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import annotated, deleting, key_of, quantity
from deployments.sandbox.controllers.kube.resources import CLAIMS, CSIDRIVERS, STORAGECLASSES, VOLUMES, Key, Obj
from deployments.sandbox.controllers.nodes import ZONE

PROVISIONER = "cinder.csi.openstack.org"
ZONE_KEYS = {"topology.cinder.csi.openstack.org/zone", "topology.kubernetes.io/zone"}
SELECTED_NODE = "volume.kubernetes.io/selected-node"
PROVISIONED_BY = "pv.kubernetes.io/provisioned-by"
FINALIZER = "external-provisioner.volume.kubernetes.io/finalizer"
"""Keeps the object until Cinder's volume is gone, in whichever order claim and volume are deleted."""
LOOK, FAILED_PAUSE = 0.3, 15.0
"""Seconds until the next look at a volume under way, and at one that failed."""
GIB = 2**30


class Storage:
    """The provisioner and the resizer.

    Args:
        cluster: whose claims they are.
        cloud: where Cinder is.
    """

    def __init__(self, cluster: Cluster, cloud: Cloud) -> None:
        self._cluster, self._cloud = cluster, cloud
        self._claims = cluster.informer(CLAIMS)
        self._volumes = cluster.informer(VOLUMES)
        self._classes = cluster.informer(STORAGECLASSES)
        cluster.add(
            Controller("claims", self._claims, self.reconcile_claim)
            .on(self._volumes, lambda volume: [_claim_key(volume)])
            .on(
                self._classes,
                lambda _: [key_of(each) for each in self._claims.all() if not each["spec"].get("volumeName")],
            )
        )
        cluster.add(Controller("volumes", self._volumes, self.reconcile_volume))

    async def start(self) -> None:
        """Register the driver, as its node plug-in would."""
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
            return await self._grow(claim, storage_class)
        if self._volumes.get("", volume_name(claim)) is None and is_wanted(claim, storage_class):
            return await self._provision(claim, storage_class)
        return None

    async def _provision(self, claim: Obj, storage_class: Obj) -> float | None:
        reason = refusal(storage_class)
        if reason is None:
            try:
                volume = await self._volume(claim, storage_class)
            except CloudError as error:
                reason = f"rpc error: code = Internal desc = CreateVolume failed with error {error}"
            else:
                if volume["status"] == "available":
                    await self._cluster.create(VOLUMES, describe(claim, storage_class, volume))
                    return None
                if volume["status"] != "error":
                    return LOOK
                await self._cloud.call("DELETE", "block-storage", f"/volumes/{volume['id']}")
                reason = f"rpc error: code = Internal desc = volume {volume['id']} is in error"
        message = f'failed to provision volume with StorageClass "{storage_class["metadata"]["name"]}": {reason}'
        await self._cluster.event(CLAIMS, claim, "ProvisioningFailed", message, warning=True)
        return FAILED_PAUSE

    async def _volume(self, claim: Obj, storage_class: Obj) -> Obj:
        """Cinder's volume for a claim, made when it is not there."""
        name = volume_name(claim)
        found: list[Obj] = (await self._cloud.call("GET", "block-storage", "/volumes/detail", name=name))["volumes"]
        if found:
            return found[0]
        wanted = {"volume": request(self._cluster.name, claim, storage_class)}
        made: Obj = (await self._cloud.call("POST", "block-storage", "/volumes", wanted))["volume"]
        return made

    async def _grow(self, claim: Obj, storage_class: Obj) -> float | None:
        """What the CSI driver's resizer does: Cinder's volume first, then the object, then the claim's status."""
        volume = self._volumes.get("", claim["spec"]["volumeName"])
        if volume is None or not _grew(claim) or not storage_class.get("allowVolumeExpansion"):
            return None
        handle, size = volume["spec"]["csi"]["volumeHandle"], gibibytes(claim)
        now = (await self._cloud.call("GET", "block-storage", f"/volumes/{handle}"))["volume"]
        if now["size"] < size:
            if now["status"] != "extending":
                body = {"os-extend": {"new_size": size}}
                await self._cloud.call("POST", "block-storage", f"/volumes/{handle}/action", body)
            return LOOK
        capacity = {"capacity": {"storage": f"{size}Gi"}}
        await self._cluster.patch(VOLUMES, volume, {"spec": capacity})
        await self._cluster.patch_status(CLAIMS, claim, capacity)
        return None

    async def reconcile_volume(self, key: Key) -> float | None:
        """Delete a volume whose claim has gone, where its class says so."""
        volume = self._volumes.get(*key)
        if volume is None or annotated(volume).get(PROVISIONED_BY) != PROVISIONER:
            return None
        released = (volume.get("status") or {}).get("phase") in ("Released", "Failed")
        if not released or volume["spec"].get("persistentVolumeReclaimPolicy") != "Delete":
            return None
        try:
            if not await self._given_back(volume["spec"]["csi"]["volumeHandle"]):
                return LOOK
        except CloudError as error:
            message = f"rpc error: code = Internal desc = DeleteVolume failed with error {error}"
            await self._cluster.event(VOLUMES, volume, "VolumeFailedDelete", message, warning=True)
            return FAILED_PAUSE
        await self._cluster.set_finalizer(VOLUMES, volume, FINALIZER, present=False)
        await self._cluster.client.delete(VOLUMES, "", key[1], uid=volume["metadata"]["uid"])
        return None

    async def _given_back(self, handle: str) -> bool:
        """Whether Cinder's volume is gone; it is deleted when nobody has yet.

        Raises:
            CloudError: Cinder refuses, or could not.
        """
        try:
            volume = (await self._cloud.call("GET", "block-storage", f"/volumes/{handle}"))["volume"]
            if volume["status"] == "deleting":
                return False
            await self._cloud.call("DELETE", "block-storage", f"/volumes/{handle}")
        except CloudError as error:
            if error.status == 404:
                return True
            raise
        if volume["status"] == "error_deleting":
            raise CloudError(f"volume {handle} is in error_deleting")
        return False


def volume_name(claim: Obj) -> str:
    """The name the provisioner gives the volume of a claim."""
    return f"pvc-{claim['metadata']['uid']}"


def is_wanted(claim: Obj, storage_class: Obj) -> bool:
    """Whether a volume is to be made now: of most classes at once, of others when the scheduler has chosen a node."""
    return storage_class.get("volumeBindingMode") != "WaitForFirstConsumer" or SELECTED_NODE in annotated(claim)


def refusal(storage_class: Obj) -> str | None:
    """Why no volume of this class can be reached from any node, or None."""
    for topology in storage_class.get("allowedTopologies") or []:
        for expression in topology.get("matchLabelExpressions") or []:
            if expression["key"] in ZONE_KEYS and ZONE not in expression["values"]:
                return f"no topology key found on any node for {expression['key']} in {', '.join(expression['values'])}"
    return None


def gibibytes(claim: Obj) -> int:
    """The size of the volume for a claim: Cinder knows whole GiB only."""
    return max(1, math.ceil(quantity(claim["spec"]["resources"]["requests"]["storage"]) / GIB))


def request(cluster: str, claim: Obj, storage_class: Obj) -> Obj:
    """What Cinder is asked for, with the marks by which the volume is known as the cluster's."""
    namespace, name = key_of(claim)
    parameters = storage_class.get("parameters") or {}
    wanted = {
        "name": volume_name(claim),
        "description": "Created by OpenStack Cinder CSI driver",
        "size": gibibytes(claim),
        "availability_zone": parameters.get("availability") or ZONE,
        "metadata": {
            f"{PROVISIONER}/cluster": cluster,
            "csi.storage.k8s.io/pv/name": volume_name(claim),
            "csi.storage.k8s.io/pvc/name": name,
            "csi.storage.k8s.io/pvc/namespace": namespace,
        },
    }
    return wanted | ({"volume_type": parameters["type"]} if parameters.get("type") else {})


def describe(claim: Obj, storage_class: Obj, volume: Obj) -> Obj:
    """The object for a claim's volume."""
    namespace, name = key_of(claim)
    uid = claim["metadata"]["uid"]
    policy = storage_class.get("reclaimPolicy", "Delete")
    zone = {
        "key": "topology.cinder.csi.openstack.org/zone",
        "operator": "In",
        "values": [volume["availability_zone"]],
    }
    terms = [{"matchExpressions": [zone]}]
    reference = {"apiVersion": "v1", "kind": "PersistentVolumeClaim", "namespace": namespace, "name": name, "uid": uid}
    return {
        "metadata": {
            "name": volume_name(claim),
            "annotations": {PROVISIONED_BY: PROVISIONER},
            "finalizers": [FINALIZER] if policy == "Delete" else [],
        },
        "spec": {
            "accessModes": claim["spec"]["accessModes"],
            "capacity": {"storage": f"{volume['size']}Gi"},
            "claimRef": reference,
            "csi": {
                "driver": PROVISIONER,
                "fsType": (storage_class.get("parameters") or {}).get("csi.storage.k8s.io/fstype", "ext4"),
                "volumeHandle": volume["id"],
            },
            "nodeAffinity": {"required": {"nodeSelectorTerms": terms}},
            "persistentVolumeReclaimPolicy": policy,
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
