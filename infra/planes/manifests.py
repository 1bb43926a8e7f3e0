"""Objects we apply ourselves: read, compared over the declared fields, and brought into step by server-side apply."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from infra.clients.kubernetes import FIELD_MANAGER, KubernetesClient
from infra.drift.findings import Finding, PlaneName
from infra.drift.healing import as_scaled, removals
from infra.drift.ignoring import IgnoreRule
from infra.drift.objects import Key, compare_objects, key_of
from infra.drift.structure import DEFINITION, Structures
from infra.drift.values import builtin
from infra.drift.wording import address as address  # noqa: PLC0414 - part of this module's public names
from infra.ledger import Journal

Manifest = Mapping[str, Any]

SYSTEM_NAMESPACE = "plumbline-system"
"""Where our own objects live: the certificate canary, the storage probe's claim."""

MANAGED_BY = {"app.kubernetes.io/managed-by": "plumbline"}


def namespace(name: str) -> dict[str, Any]:
    """The manifest of a namespace of ours."""
    return {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": dict(MANAGED_BY)}}


async def read(kubernetes: KubernetesClient, manifests: Iterable[Manifest]) -> dict[str, dict[str, Any] | None]:
    """Read each object of `manifests`; `None` for what is not there."""
    return {address(manifest): await kubernetes.get_like(dict(manifest)) for manifest in manifests}


def compare(
    plane: PlaneName, manifests: Iterable[Manifest], live: Mapping[str, Mapping[str, Any] | None]
) -> list[Finding]:
    """Say which of `manifests` are missing, differ from `live`, or have had something added."""
    declared = list(manifests)
    there = {key_of(item): found for item in declared if (found := live.get(address(item))) is not None}
    return compare_objects(declared, there, plane=plane)


async def apply(
    kubernetes: KubernetesClient,
    journal: Journal,
    plane: PlaneName,
    manifests: Sequence[Manifest],
    findings: Iterable[Finding],
    *,
    ignores: Sequence[IgnoreRule] = (),
    scalers: Mapping[Key, Manifest] | None = None,
    field_manager: str = FIELD_MANAGER,
) -> list[str]:
    """Apply those of `manifests` that `findings` name, in their order; return their addresses.

    Args:
        ignores: fields that others write by design, and that are not taken away.
        scalers: the autoscalers that are to be there; the replicas that they chose are left alone.
        field_manager: in whose name. Whoever applies without a field takes away what nobody else has applied: two
            appliers of one object would each keep what the other gives up.
    """
    scalers = scalers or {}
    named = {finding.address for finding in findings}
    applied = []
    for manifest in manifests:
        where = address(manifest)
        if where not in named:
            continue
        async with journal.write(plane, "apply", where):
            scaled = await kubernetes.get_like(dict(manifest)) if scalers else None
            wanted = manifest if scaled is None else as_scaled(manifest, scaled, scalers)
            definition = await _definition(kubernetes, manifest)
            structure = Structures(definition.values()).of(manifest)
            sent = dict(wanted) if structure is None else structure.kept(wanted)
            there = await kubernetes.apply(sent, field_manager=field_manager)
            # Server-side apply leaves alone what others have added.
            added = removals(manifest, there, ignores, {**scalers, **definition})
            if added:
                metadata = there["metadata"]
                key = (manifest["apiVersion"], manifest["kind"], metadata["name"])
                await kubernetes.patch(*key, added, metadata.get("namespace"), type="json")
        applied.append(where)
    return applied


async def _definition(kubernetes: KubernetesClient, manifest: Manifest) -> dict[Key, Manifest]:
    """The definition of a custom resource, if it is one and has one."""
    api_version, kind = manifest["apiVersion"], manifest["kind"]
    resource = None if builtin(api_version) else await kubernetes.resource(api_version, kind)
    if resource is None:
        return {}
    found = await kubernetes.get(*DEFINITION, f"{resource.plural}.{api_version.partition('/')[0]}")
    return {} if found is None else {key_of(found): found}


async def remove(
    kubernetes: KubernetesClient, journal: Journal, plane: PlaneName, manifests: Sequence[Manifest], *, timeout: float
) -> list[str]:
    """Delete `manifests` in the reverse order and wait until each is gone; what is absent is fine."""
    removed = []
    for manifest in reversed(manifests):
        metadata = manifest["metadata"]
        key = (manifest["apiVersion"], manifest["kind"], metadata["name"], metadata.get("namespace"))
        if await kubernetes.get(*key) is None:
            continue
        async with journal.write(plane, "delete", address(manifest)):
            await kubernetes.delete(*key)
            await kubernetes.wait_deleted(*key, timeout=timeout)
        removed.append(address(manifest))
    return removed
