"""Which zeros a real kube-apiserver keeps: what the table of drift says of Go's pointers, which OpenAPI has not.

A 0 or a false is written into each optional number and switch of the corpora's manifests, on a dry run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import AsyncIterator, Iterator
from pathlib import Path as File
from typing import Any

import pytest
import pytest_asyncio

from deployments.sandbox.controllers.kube.client import ApiError, Client
from deployments.sandbox.controlplane.plane import ControlPlane
from deployments.sandbox.settings import free_port
from infra.clients.kubernetes import KubernetesClient
from infra.drift.paths import ABSENT, Path, follow
from infra.drift.tables import KEPT_ZEROS, SERVER_METADATA
from tests.corpora.corpus import types
from tests.corpora.mutations import put
from tests.corpora.staging import manifests, place

pytestmark = [pytest.mark.envtest]
Object = dict[str, Any]
GROUPS = ("kinds", "defaults")
ZEROS = {"boolean": False, "integer": 0, "number": 0, "int-or-string": 0}
TRIES = 8
"""Times that a field of a type is tried, where the API server refuses the whole."""
NAMES = {kind: name for name, each in types().items() for kind in each.kinds}

AMBIGUOUS = {
    # Kept here, and dropped or refused there; absent they say the same.
    "readOnly", "priority", "partition", "minReplicas", "timeoutSeconds",
    # Always written.
    "port", "value",
}  # fmt: skip
"""Fields that some types keep, whose zero says no more than none."""

UNPROVEN = {
    # Zero is refused.
    "averageUtilization", "endPort", "expirationSeconds", "leaseDurationSeconds", "minDomains",
    "progressDeadlineSeconds",
    # Of no type, and no option.
    "default", "weight",
    # Of volumes that no recorded object has.
    "lun",
}  # fmt: skip
"""Fields of the table of which no zero can be written."""

OWNED: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {
    "name": "owned", "namespace": place("adopted", "kinds"),
    "ownerReferences": [{"apiVersion": "v1", "kind": "Secret", "name": "a", "uid": "u"}]}}  # fmt: skip


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[KubernetesClient, Client]]:
    home: File = tmp_path_factory.mktemp("zeros")
    with ControlPlane(home, port=free_port(), nodes=False) as plane:
        config = plane.kubeconfig
        async with Client.from_kubeconfig(config) as client, KubernetesClient(config) as kubernetes:
            for group in GROUPS:
                named = {"name": place("adopted", group)}
                await kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": named})
            yield kubernetes, client


def zeros(item: Any, name: str, path: Path = ()) -> Iterator[tuple[tuple[str, str], Path, Any]]:
    """The optional numbers and switches of an object's types, and of what its types may hold: type and name, place."""
    for field, each in types()[name].fields.items() if name in types() else ():
        here = (*path, field)
        there = item.get(field) if isinstance(item, dict) else None
        if each.kind in ZEROS and not each.required:
            yield (name, field), here, ZEROS[each.kind]
        elif path == () and field == "status":
            continue
        elif each.kind == "object" and (there is not None or item is not None):
            yield from zeros(there, each.ref, here)
        elif each.kind == "list" and isinstance(there, list):
            for index, value in enumerate(there):
                yield from zeros(value, each.ref, (*here, index))
        elif each.kind == "map" and isinstance(there, dict):
            for key, value in there.items():
                yield from zeros(value, each.ref, (*here, key))


@pytest.mark.asyncio(loop_scope="module")
async def test_the_table_has_the_zeros_that_are_kept(cluster: tuple[KubernetesClient, Client]) -> None:
    kubernetes, client = cluster
    tried: Counter[tuple[str, str]] = Counter()
    said: dict[tuple[str, str], bool] = {}
    for item in (OWNED, *(each for group in GROUPS for each in manifests("adopted", group))):
        resource = await kubernetes.resource(item["apiVersion"], item["kind"])
        name = NAMES.get((item["apiVersion"], item["kind"]))
        if resource is None or name is None:
            continue
        where = resource.path(namespace=item["metadata"].get("namespace"))
        for key, path, zero in zeros(item, name):
            if key in said or tried[key] >= TRIES:
                continue
            tried[key] += 1
            try:
                answer = await client.request("POST", where, body=put(item, path, zero), params={"dryRun": "All"})
            except ApiError:
                continue
            there = follow(answer, path)
            said[key] = there is not ABSENT and there == zero
    kept, dropped = ({field for (_, field), keeps in said.items() if keeps is which} for which in (True, False))
    assert len(said) >= 140
    assert kept - dropped - KEPT_ZEROS - AMBIGUOUS - SERVER_METADATA == set()
    assert (dropped - kept) & KEPT_ZEROS == set()
    assert KEPT_ZEROS - kept == UNPROVEN
