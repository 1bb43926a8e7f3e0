"""Changes by hand, asked of the real API server: a sample of what mutations.py reckons, to hold it against."""

from __future__ import annotations

import random
from typing import Any

from infra.clients.kubernetes import KubernetesClient
from infra.sandbox.controllers.kube.client import ApiError, Client
from tests.corpora.corpus import Edit, Recorded
from tests.corpora.mutations import EDITOR, mutations
from tests.corpora.sanitising import sanitised

PER_OBJECT = 4


async def record_edits(rows: list[Recorded], kubernetes: KubernetesClient, client: Client) -> list[Edit]:
    """PUT as `kubectl edit` would, on a dry run: nothing changes, and the answer is as if it had."""
    chance = random.Random(896)
    found: list[Edit] = []
    for index, row in enumerate(rows):
        if row.live["kind"] in ("CustomResourceDefinition", "APIService"):
            continue
        known = [each for each in mutations(row, None) if each.live is not None and each.path is not None]
        for each in chance.sample(known, min(PER_OBJECT, len(known))):
            live = await _ask(kubernetes, client, row, each.live or {})
            if live is not None:
                clean = sanitised(Recorded(row.source, row.declared, live, None)).live
                found.append(Edit(index, each.what, each.path or "", clean))
    return found


async def _ask(
    kubernetes: KubernetesClient, client: Client, row: Recorded, changed: dict[str, Any]
) -> dict[str, Any] | None:
    resource = await kubernetes.resource(row.live["apiVersion"], row.live["kind"])
    if resource is None:
        return None
    metadata = {key: value for key, value in changed["metadata"].items() if key != "resourceVersion"}
    path = resource.path(metadata["name"], metadata.get("namespace"))
    there = await kubernetes.get_like(row.live)
    body = {**changed, "metadata": {**metadata, "resourceVersion": (there or row.live)["metadata"]["resourceVersion"]}}
    try:
        return await client.request("PUT", path, body=body, params={"fieldManager": EDITOR, "dryRun": "All"})
    except ApiError:
        return None  # the API server refuses what no person could do, either
