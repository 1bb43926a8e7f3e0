"""What a cluster holds outside itself, given back before it goes: challenges' records, load balancers and volumes.

Magnum deletes servers and networks, not what the cloud provider and the volume driver made on the cluster's behalf;
those would be left in the project, and some block the deletion of the network they stand in.
"""

from __future__ import annotations

import logging
from typing import Any

from infra.catalog import CLUSTER_RESOURCES
from infra.clients.errors import DeadlineExceeded, NotYet
from infra.drift.findings import PlaneName
from infra.planes import manifests
from infra.planes.clients import Clients
from infra.planes.issuance import CHALLENGE

log = logging.getLogger(__name__)

SERVICE = ("v1", "Service")
CLAIM = ("v1", "PersistentVolumeClaim")
VOLUME = ("v1", "PersistentVolume")
POD = ("v1", "Pod")
NAMESPACE = ("v1", "Namespace")
KEPT = {"default", "kube-node-lease", "kube-public", "kube-system"}
"""Namespaces that the API server refuses to delete, or makes anew."""
CLEAN_UP_TIME = 60.0
"""Seconds cert-manager's solvers get to take back what they have presented."""


async def end_challenges(clients: Clients) -> tuple[list[str], str | None]:
    """Delete the namespaces in which certificates are being asked for, while cert-manager can still clean up.

    A Challenge's finalizer takes its TXT record back, or its solver's pod and Ingress; without cert-manager, its issuer
    or the solver it holds the namespace for ever. Only the namespace as a whole ends it: what asks for the certificate
    would ask again. cert-manager's own namespace stays, and goes with the cluster.

    Returns:
        what was deleted, and a sentence about what a solver did not clean up, if that is so.
    """
    kept = KEPT | {CLUSTER_RESOURCES}
    open_ones = [item for item in await clients.kubernetes.list(*CHALLENGE) if _namespace(item) not in kept]
    named = [manifests.namespace(name) for name in sorted({_namespace(item) for item in open_ones})]
    patience = min(CLEAN_UP_TIME, clients.settings.probe_timeout)
    for manifest in named:
        async with clients.journal.write(PlaneName.CERTIFICATES, "delete", manifests.address(manifest)):
            await clients.kubernetes.delete(*NAMESPACE, manifest["metadata"]["name"])
    for item in open_ones:
        metadata = item["metadata"]
        try:
            await clients.kubernetes.wait_deleted(*CHALLENGE, metadata["name"], metadata["namespace"], timeout=patience)
        except DeadlineExceeded as error:
            name = item["spec"].get("dnsName")
            why = (item.get("status") or {}).get("reason") or str(error)
            return [manifests.address(one) for one in named], f"not cleaned up: the challenge for {name} ({why})"
    return [manifests.address(one) for one in named], None


def _namespace(item: dict[str, Any]) -> str:
    return str(item["metadata"]["namespace"])


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
