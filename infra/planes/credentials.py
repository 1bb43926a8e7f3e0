"""Secrets of our store as Secrets of a cluster: read where they are compared and written, and handed to nobody else.

They never stand in Helm's values, whose copy every release record keeps.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from infra.drift.findings import Finding, PlaneName, Severity
from infra.planes import manifests
from infra.planes.clients import Clients

SECRET = ("v1", "Secret")


@dataclass(frozen=True)
class Credential:
    """One secret of the store, and the Secret it becomes."""

    source: str
    """Its name in the store."""
    namespace: str
    name: str
    labels: Mapping[str, str] = field(default_factory=dict)
    public: Mapping[str, str] = field(default_factory=dict)
    """What the Secret holds beside the store's values, which win, such as the URL they are for."""

    @property
    def address(self) -> str:
        """`Secret/<namespace>/<name>`."""
        return f"Secret/{self.namespace}/{self.name}"


async def difference(wanted: Credential, clients: Clients) -> str | None:
    """Compare the cluster's Secret with the store's; that they differ is said, what they hold is not.

    Raises:
        NotFound: the store has no such secret.
    """
    live = await clients.kubernetes.get(*SECRET, wanted.name, wanted.namespace)
    if live is None:
        return f"{wanted.address} is not there."
    if (live.get("data") or {}) != (await _manifest(wanted, clients))["data"]:
        return f"{wanted.address} is not what the store has."
    return None


def findings(plane: PlaneName, wanted: Credential, difference: str | None) -> list[Finding]:
    """What `difference` says, as a finding."""
    if difference is None:
        return []
    return [Finding(plane=plane, address=wanted.address, sentence=difference, severity=Severity.SECURITY)]


async def look(plane: PlaneName, wanted: Credential, clients: Clients) -> list[Finding]:
    """Compare the cluster's Secret with the store's."""
    return findings(plane, wanted, await difference(wanted, clients))


async def write(plane: PlaneName, wanted: Credential, clients: Clients) -> str:
    """Make the cluster's Secret what the store has; returns its address."""
    manifest = await _manifest(wanted, clients)
    async with clients.journal.write(plane, "apply", wanted.address):
        await clients.kubernetes.apply(manifests.namespace(wanted.namespace))
        there = (await clients.kubernetes.apply(manifest)).get("data") or {}
        strays = {key: None for key in there if key not in manifest["data"]}
        if strays:
            # Server-side apply leaves alone what others have added.
            await clients.kubernetes.patch(*SECRET, wanted.name, {"data": strays}, wanted.namespace)
    return wanted.address


async def _manifest(wanted: Credential, clients: Clients) -> dict[str, Any]:
    values = await clients.secrets.read(wanted.source)
    plain = {**wanted.public, **{key: value.get_secret_value() for key, value in values.items()}}
    return {
        "apiVersion": SECRET[0],
        "kind": SECRET[1],
        "metadata": {
            "name": wanted.name,
            "namespace": wanted.namespace,
            "labels": {**manifests.MANAGED_BY, **wanted.labels},
        },
        "type": "Opaque",
        "data": {key: base64.b64encode(value.encode()).decode() for key, value in sorted(plain.items())},
    }
