"""The delivery plane: an Argo CD Application that keeps the environment's workloads at what their repository says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.clients.errors import NotYet
from infra.drift.findings import Finding, PlaneName
from infra.planes import manifests
from infra.planes.clients import Clients
from infra.spec.models import Environment

NAMESPACE = "argocd"
APPLICATION = ("argoproj.io/v1alpha1", "Application")


@dataclass(frozen=True)
class Wanted:
    """The Application, and the repository it follows."""

    application: dict[str, Any]

    @property
    def repository(self) -> str:
        """Where the workloads are declared."""
        return str(self.application["spec"]["source"]["repoURL"])

    @property
    def revision(self) -> str:
        """Branch, tag or commit that is followed."""
        return str(self.application["spec"]["source"]["targetRevision"])


def desired(environment: Environment) -> Wanted | None:
    """The Application after `spec.delivery` (pure); `None` where nothing is to be delivered."""
    delivery = environment.spec.delivery
    if delivery is None:
        return None
    return Wanted(
        {
            "apiVersion": APPLICATION[0],
            "kind": APPLICATION[1],
            "metadata": {
                "name": environment.metadata.name,
                "namespace": NAMESPACE,
                "labels": dict(manifests.MANAGED_BY),
                # Deleting the Application takes its workloads, and so their claims and load balancers, with it.
                "finalizers": ["resources-finalizer.argocd.argoproj.io"],
            },
            "spec": {
                "project": "default",
                "source": {
                    "repoURL": delivery.repository,
                    "path": delivery.path,
                    "targetRevision": delivery.revision,
                },
                "destination": {"server": "https://kubernetes.default.svc"},
                "syncPolicy": {
                    "automated": {"prune": True, "selfHeal": True},
                    "syncOptions": ["CreateNamespace=true", "ServerSideApply=true"],
                },
            },
        }
    )


async def observe(wanted: Wanted, clients: Clients) -> dict[str, dict[str, Any] | None]:
    """Read the Application."""
    return await manifests.read(clients.kubernetes, [wanted.application])


def compare(wanted: Wanted, observed: dict[str, dict[str, Any] | None]) -> list[Finding]:
    """The Application there, and as declared."""
    return manifests.compare(PlaneName.DELIVERY, [wanted.application], observed)


async def converge(
    wanted: Wanted, observed: dict[str, dict[str, Any] | None], findings: list[Finding], clients: Clients
) -> list[str]:
    """Apply the Application."""
    del observed
    return await manifests.apply(
        clients.kubernetes, clients.journal, PlaneName.DELIVERY, [wanted.application], findings
    )


async def remove(wanted: Wanted, clients: Clients) -> list[str]:
    """Delete the Application and wait until Argo CD has taken its workloads away; without a cluster there is none."""
    if not clients.connected:
        return []
    return await manifests.remove(
        clients.kubernetes,
        clients.journal,
        PlaneName.DELIVERY,
        [wanted.application],
        timeout=clients.settings.probe_timeout,
    )


async def probe(wanted: Wanted, clients: Clients) -> str:
    """Wait until Argo CD is Synced to the repository's head and Healthy.

    The revision is asked of the repository itself: an Application that cannot fetch stays Synced with what it has.
    """
    metadata = wanted.application["metadata"]

    async def delivered() -> str:
        head = await clients.git.head(wanted.repository, wanted.revision)
        live = await clients.kubernetes.get(*APPLICATION, metadata["name"], NAMESPACE)
        status = (live or {}).get("status", {})
        sync, health = status.get("sync", {}), status.get("health", {})
        if sync.get("status") != "Synced" or health.get("status") != "Healthy":
            raise NotYet(
                f"The application is {sync.get('status', 'not compared yet')} and "
                f"{health.get('status', 'of unknown health')}.",
                detail=_conditions(status),
            )
        if sync.get("revision") != head:
            raise NotYet(f"Argo CD is at {str(sync.get('revision'))[:10]}, the repository at {head[:10]}.")
        return f"Synced to {head[:10]} and Healthy"

    return await clients.until(delivered, describe=f"Argo CD to deliver {metadata['name']}")


def _conditions(status: dict[str, Any]) -> str | None:
    return "; ".join(item.get("message", "") for item in status.get("conditions") or []) or None
