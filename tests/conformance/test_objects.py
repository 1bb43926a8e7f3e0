"""The same manifests on both servers: what is stored, defaulted and owned has to be the same."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.kubernetes.resources import Registry
from tests.conformance.compare import same
from tests.conformance.conftest import Pair
from tests.conformance.harness import STRATEGIC_PATCH

pytestmark = pytest.mark.envtest

FOLDER = Path(__file__).parent / "manifests"
OBJECTS = [
    item for file in ("workloads", "cluster") for item in yaml.safe_load_all((FOLDER / f"{file}.yaml").read_text())
]
REGISTRY = Registry.with_builtins()


def path_of(item: dict[str, Any], namespace: str) -> str:
    group, _, version = item["apiVersion"].rpartition("/")
    resource = REGISTRY.by_kind(group, item["kind"])
    assert resource is not None
    start = f"/apis/{group}/{version}" if group else f"/api/{version}"
    return f"{start}/namespaces/{namespace}/{resource.plural}" if resource.namespaced else f"{start}/{resource.plural}"


@pytest.mark.parametrize("item", OBJECTS, ids=lambda item: f"{item['kind']}-{item['metadata']['name']}")
def test_created_read_patched_and_deleted_the_same(pair: Pair, shared_namespace: str, item: dict[str, Any]) -> None:
    path = path_of(item, shared_namespace)
    if item["kind"] == "Event":
        item = {**item, "involvedObject": {**item["involvedObject"], "namespace": shared_namespace}}
    name = f"{path}/{item['metadata']['name']}"
    try:
        if item["kind"] != "Service":
            # A dry run shows the address a Service would get; Kubernetes 1.20 leaves it out.
            same(pair, lambda server: server.post(f"{path}?dryRun=All", item))
        same(pair, lambda server: server.request("GET", name))
        same(pair, lambda server: server.post(path, item))
        same(pair, lambda server: server.post(path, item))
        labelled = {"metadata": {"labels": {"touched": "yes"}}}
        same(pair, lambda server: server.patch(f"{name}?fieldManager=toucher", labelled, STRATEGIC_PATCH))
        same(pair, lambda server: server.request("GET", name))
    finally:
        for server in (pair.embedded, pair.real):
            server.delete(name, {"propagationPolicy": "Background", "gracePeriodSeconds": 0})
            # Nobody is there on the real server to lift the protection of volumes.
            server.patch(name, {"metadata": {"finalizers": None}})
    for server in (pair.embedded, pair.real):
        server.gone(name)
