"""What a cluster holds in the cloud, given back before the cluster goes: load balancers and volumes.

Magnum deletes servers and networks, not what the cloud provider and the volume driver made on the cluster's behalf;
those would be left in the project, and some block the deletion of the network they stand in.
"""

from __future__ import annotations

import logging
from typing import Any

from infra.clients.errors import NotYet
from infra.drift.findings import PlaneName
from infra.planes import manifests
from infra.planes.clients import Clients

log = logging.getLogger(__name__)

SERVICE = ("v1", "Service")
CLAIM = ("v1", "PersistentVolumeClaim")
VOLUME = ("v1", "PersistentVolume")
POD = ("v1", "Pod")


async def release_load_balancers(clients: Clients) -> list[str]:
    """Delete every LoadBalancer Service and wait until its finalizer has given the load balancer back."""
    services = [item for item in await clients.kubernetes.list(*SERVICE) if item["spec"].get("type") == "LoadBalancer"]
    return await _delete(SERVICE, services, PlaneName.ADDONS, clients)


async def release_volumes(clients: Clients) -> list[str]:
    """Delete every claim, and wait until the volumes whose class says Delete are gone.

    A claim is protected while a pod uses it, so its pods go with it: their workloads have been removed before, or
    the cluster itself is about to be.
    """
    claims = await clients.kubernetes.list(*CLAIM)
    users = [pod for pod in (await clients.kubernetes.list(*POD) if claims else []) if _uses_a_claim(pod)]
    await _stop_users(claims, users, clients)
    removed = await _delete(CLAIM, claims, PlaneName.STORAGE, clients)

    async def given_back() -> None:
        left = [
            item["metadata"]["name"]
            for item in await clients.kubernetes.list(*VOLUME)
            if item["spec"].get("persistentVolumeReclaimPolicy") == "Delete"
        ]
        if left:
            raise NotYet(f"{len(left)} volumes have not been given back yet.", detail=", ".join(left))

    await clients.until(given_back, describe="the cluster's volumes to be given back")
    return removed


def _uses_a_claim(pod: dict[str, Any]) -> bool:
    return any("persistentVolumeClaim" in volume for volume in pod["spec"].get("volumes") or [])


async def _stop_users(claims: list[dict[str, Any]], users: list[dict[str, Any]], clients: Clients) -> None:
    """Scale the StatefulSets and Deployments of a claim's namespace to nothing: deleted pods alone would come back.

    The pods are deleted as well: those of jobs, and those that nobody owns, end in no other way.
    """
    busy = {claim["metadata"]["namespace"] for claim in claims} & {pod["metadata"]["namespace"] for pod in users}
    for namespace in sorted(busy):
        for kind in ("StatefulSet", "Deployment"):
            for item in await clients.kubernetes.list("apps/v1", kind, namespace):
                where = manifests.address(item)
                async with clients.journal.write(PlaneName.STORAGE, "scale to 0", where):
                    await clients.kubernetes.patch(
                        "apps/v1", kind, item["metadata"]["name"], {"spec": {"replicas": 0}}, namespace
                    )
    for pod in users:
        async with clients.journal.write(PlaneName.STORAGE, "delete", manifests.address({"kind": POD[1], **pod})):
            await clients.kubernetes.delete(*POD, pod["metadata"]["name"], pod["metadata"]["namespace"])


async def _delete(kind: tuple[str, str], items: list[dict[str, Any]], plane: PlaneName, clients: Clients) -> list[str]:
    named = [{"apiVersion": kind[0], "kind": kind[1], "metadata": item["metadata"]} for item in items]
    return await manifests.remove(
        clients.kubernetes, clients.journal, plane, named, timeout=clients.settings.probe_timeout
    )
