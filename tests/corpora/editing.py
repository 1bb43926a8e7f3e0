"""Changes by hand, asked of the real API server: a sample of what mutations.py reckons, to hold it against.

Most are PUT as `kubectl edit` would on a dry run: nothing changes, and the answer is as if it had. Some are made
really, so that the server can say what applying the declaration would make of them, and then taken back.
"""

from __future__ import annotations

import random
from typing import Any

from deployments.sandbox.controllers.kube.client import ApiError, Client
from infra.clients.errors import PlumblineError
from infra.clients.kubernetes import KubernetesClient
from tests.corpora.corpus import Edit, Recorded
from tests.corpora.mutations import EDITOR, Mutation, mutations
from tests.corpora.sanitising import sanitised

Object = dict[str, Any]
PER_OBJECT = 4
REALLY = 3
QUIET = frozenset({"ConfigMap", "CronJob", "Deployment", "Ingress", "LimitRange", "NetworkPolicy", "Role", "Secret",
                   "Service", "ServiceAccount", "StatefulSet", "Widgetapplied", "Widgethelm"})  # fmt: skip
"""Kinds that can be edited and put back without disturbing anybody."""


async def record_edits(rows: list[Recorded], kubernetes: KubernetesClient, client: Client) -> list[Edit]:
    """Edits of every recorded object; the really made ones at the end."""
    chance = random.Random(896)
    found: list[Edit] = []
    for index, row in enumerate(rows):
        if row.live["kind"] not in ("CustomResourceDefinition", "APIService"):
            for each in _sample(chance, row, PER_OBJECT):
                live = await _put(kubernetes, client, each.live or {}, dry=True)
                found += _edits(index, row, each, live, None)
    for index, row in enumerate(rows):
        if row.live["kind"] in QUIET and row.dry_run is not None:
            for each in _sample(chance, row, REALLY):
                live = await _put(kubernetes, client, each.live or {})
                if live is not None:
                    found += _edits(index, row, each, live, await _answer(kubernetes, row))
                    # With its managed fields, as if nothing had been.
                    await _put(kubernetes, client, row.live)
    return found


def _sample(chance: random.Random, row: Recorded, count: int) -> list[Mutation]:
    known = [each for each in mutations(row, None, keep=True) if each.live is not None and each.paths]
    return chance.sample(known, min(count, len(known)))


def _edits(index: int, row: Recorded, each: Mutation, live: Object | None, answer: Object | None) -> list[Edit]:
    if live is None:
        return []
    clean = sanitised(Recorded(row.source, row.declared, live, answer))
    return [Edit(index, each.what, list(each.paths), clean.live, clean.dry_run)]


async def _answer(kubernetes: KubernetesClient, row: Recorded) -> Object | None:
    try:
        return await kubernetes.apply(row.declared, dry_run=True)
    except PlumblineError:
        return None


async def _put(kubernetes: KubernetesClient, client: Client, item: Object, *, dry: bool = False) -> Object | None:
    """What the server makes of a changed object; None where it refuses what no person could do, either."""
    resource, there = await kubernetes.resource(item["apiVersion"], item["kind"]), await kubernetes.get_like(item)
    if resource is None or there is None:
        return None
    metadata = {**item["metadata"], "resourceVersion": there["metadata"]["resourceVersion"]}
    path = resource.path(metadata["name"], metadata.get("namespace"))
    params = {"fieldManager": EDITOR, **({"dryRun": "All"} if dry else {})}
    try:
        return await client.request("PUT", path, body={**item, "metadata": metadata}, params=params)
    except ApiError:
        return None
