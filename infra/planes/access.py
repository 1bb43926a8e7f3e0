"""Who may look: the role of the group that drift checks sign in as, which can read everything and write nothing.

Reading everything includes Secrets: Helm keeps its release records in them, and RBAC cannot tell those from others.

It is `list` alone, and not `get`: whoever may `get` everything may also open a shell in every pod, since that is what a
WebSocket to pods/exec asks for, and reach every kubelet and Service through nodes/proxy and services/proxy. Nothing of
that can be listed; and what one object says, a list of that one name says, too (`KubernetesClient.get`).
https://kubernetes.io/docs/concepts/security/rbac-good-practices/
"""

from __future__ import annotations

from typing import Any

from infra.clients.errors import NotFound
from infra.clients.kubeconfig import READERS
from infra.drift.findings import Finding, PlaneName
from infra.planes import manifests
from infra.planes.clients import Clients
from infra.planes.looking import Looked, blind_spot

PLANE = PlaneName.CLUSTER
NAME = "plumbline-reader"
RBAC = "rbac.authorization.k8s.io"

Wanted = tuple[dict[str, Any], ...]


def desired() -> Wanted:
    """The role and its binding (pure)."""
    metadata = {"name": NAME, "labels": dict(manifests.MANAGED_BY)}
    api = {"apiVersion": f"{RBAC}/v1"}
    role = {
        **api,
        "kind": "ClusterRole",
        "metadata": metadata,
        "rules": [
            {"apiGroups": ["*"], "resources": ["*"], "verbs": ["list"]},
            {"nonResourceURLs": ["/version", "/api", "/api/*", "/apis", "/apis/*"], "verbs": ["get"]},
        ],
    }
    binding = {
        **api,
        "kind": "ClusterRoleBinding",
        "metadata": metadata,
        "roleRef": {"apiGroup": RBAC, "kind": "ClusterRole", "name": NAME},
        "subjects": [{"apiGroup": RBAC, "kind": "Group", "name": READERS}],
    }
    return role, binding


async def observe(wanted: Wanted, clients: Clients) -> dict[str, dict[str, Any] | None]:
    """Read both."""
    return await manifests.read(clients.kubernetes, wanted)


def compare(wanted: Wanted, observed: dict[str, dict[str, Any] | None]) -> list[Finding]:
    """Each there, and as declared."""
    return manifests.compare(PLANE, wanted, observed)


async def converge(
    wanted: Wanted, observed: dict[str, dict[str, Any] | None], findings: list[Finding], clients: Clients
) -> list[str]:
    """Apply what a finding names."""
    del observed
    return await manifests.apply(clients.kubernetes, clients.journal, PLANE, wanted, findings)


async def look(clients: Clients) -> Looked:
    """Role and binding as declared, down to what others have added to them; a blind spot without a way in."""
    wanted = desired()
    if clients.connected:
        return await clients.live.look(PLANE, wanted)
    unreachable = NotFound("The cluster cannot be reached.")
    places = [manifests.address(item) for item in wanted]
    return Looked(blind_spots=tuple(blind_spot(PLANE, where, unreachable, hides=[where]) for where in places))
