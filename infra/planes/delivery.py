"""The delivery plane: an Argo CD Application that keeps the environment's workloads at what their repository says."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from infra.clients.errors import NotYet
from infra.clients.git import GitClient
from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import credentials, manifests
from infra.planes.clients import Clients
from infra.planes.credentials import Credential
from infra.planes.looking import Looked, holds, look_at
from infra.spec.models import Delivery, Environment

PLANE = PlaneName.DELIVERY
NAMESPACE = "argocd"
ANY_USER = "git"
"""Whoever signs in with a token alone: forges want a name beside it and do not look at it."""
APPLICATION = ("argoproj.io/v1alpha1", "Application")


@dataclass(frozen=True)
class Wanted:
    """The Application, the repository it follows, and what opens that."""

    application: dict[str, Any]
    credential: Credential | None = None

    @property
    def repository(self) -> str:
        """Where the workloads are declared."""
        return str(self.application["spec"]["source"]["repoURL"])

    @property
    def revision(self) -> str:
        """Branch, tag or commit that is followed."""
        return str(self.application["spec"]["source"]["targetRevision"])


@dataclass(frozen=True)
class Observed:
    """The Application, and what is wrong with the repository's Secret."""

    objects: dict[str, dict[str, Any] | None]
    secret: str | None = None


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
        },
        _credential(environment, delivery),
    )


def _credential(environment: Environment, delivery: Delivery) -> Credential | None:
    """Argo CD finds what opens a repository by this label and the URL (Argo CD, "Declarative Setup: Repositories")."""
    if delivery.credentials is None:
        return None
    public = {"type": "git", "url": delivery.repository}
    if not delivery.repository.lower().startswith("ssh:"):
        public["username"] = ANY_USER
    return Credential(
        source=delivery.credentials,
        namespace=NAMESPACE,
        name=f"{environment.name}-repository",
        labels={"argocd.argoproj.io/secret-type": "repository"},
        public=public,
    )


async def observe(wanted: Wanted, clients: Clients) -> Observed:
    """Read the Application, and compare the repository's Secret with the store's."""
    objects = await manifests.read(clients.kubernetes, [wanted.application])
    if wanted.credential is None:
        return Observed(objects)
    return Observed(objects, await credentials.difference(wanted.credential, clients))


def compare(wanted: Wanted, observed: Observed) -> list[Finding]:
    """The Application there, and as declared; the Secret as in the store."""
    found = manifests.compare(PLANE, [wanted.application], observed.objects)
    if wanted.credential is None:
        return found
    return [*credentials.findings(PLANE, wanted.credential, observed.secret), *found]


async def converge(wanted: Wanted, observed: Observed, findings: list[Finding], clients: Clients) -> list[str]:
    """Write the repository's Secret, then apply the Application."""
    made = []
    if wanted.credential is not None and observed.secret is not None:
        made.append(await credentials.write(PLANE, wanted.credential, clients))
    return made + await manifests.apply(clients.kubernetes, clients.journal, PLANE, [wanted.application], findings)


async def remove(wanted: Wanted, clients: Clients) -> list[str]:
    """Delete the Application and wait until Argo CD has taken its workloads away; without a cluster there is none."""
    if not clients.connected:
        return []
    return await manifests.remove(
        clients.kubernetes,
        clients.journal,
        PLANE,
        [wanted.application],
        timeout=clients.settings.probe_timeout,
    )


async def probe(wanted: Wanted, clients: Clients) -> str:
    """Wait until Argo CD is Synced to the repository's head and Healthy.

    The revision is asked of the repository itself: an Application that cannot fetch stays Synced with what it has.
    """
    name = wanted.application["metadata"]["name"]
    return await clients.until(lambda: delivered(wanted, clients), describe=f"Argo CD to deliver {name}")


async def delivered(wanted: Wanted, clients: Clients) -> str:
    """Look once whether Argo CD has delivered the repository's head.

    Raises:
        NotYet: it has not, and what it says of that.
    """
    head = await _head(wanted, clients)
    live = await clients.kubernetes.get(*APPLICATION, wanted.application["metadata"]["name"], NAMESPACE)
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


async def look(environment: Environment, clients: Clients) -> Looked:
    """The Application as declared, the repository's Secret as in the store, and the repository's head delivered."""
    wanted = desired(environment)
    if wanted is None:
        return Looked()
    where = manifests.address(wanted.application)
    parts = [await clients.live.look(PLANE, [wanted.application])]
    if wanted.credential is not None:
        secret = credentials.look(PLANE, wanted.credential, clients)
        parts.append(await look_at(PLANE, wanted.credential.address, secret, hides=[wanted.credential.address]))
    parts.append(await holds(PLANE, f"{where}/delivered", delivered(wanted, clients), Severity.CONFIG))
    return Looked.together(parts)


async def _head(wanted: Wanted, clients: Clients) -> str:
    if wanted.credential is None:
        return await clients.git.head(wanted.repository, wanted.revision)
    secret = dict(await clients.secrets.read(wanted.credential.source))
    git = GitClient(
        clients.settings,
        username=secret["username"].get_secret_value() if "username" in secret else ANY_USER,
        password=secret.get("password"),
        private_key=secret.get("sshPrivateKey"),
    )
    try:
        return await git.head(wanted.repository, wanted.revision)
    finally:
        git.close()


def _conditions(status: dict[str, Any]) -> str | None:
    return "; ".join(item.get("message", "") for item in status.get("conditions") or []) or None
