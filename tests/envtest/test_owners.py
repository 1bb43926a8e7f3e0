"""Who made an object, on a real kube-apiserver: what it defaults in a person's name, and what the person put there."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
import yaml

from infra.clients.kubernetes import KubernetesClient
from infra.drift.findings import PlaneName, Severity
from infra.drift.objects import compare_objects, key_of
from infra.sandbox.controllers.kube.client import ApiError, Client
from infra.sandbox.envtest import ControlPlane, available
from tests.corpora.record import FILES, MANIFESTS, fill, free_port

pytestmark = [
    pytest.mark.envtest,
    pytest.mark.skipif(available() is None, reason="KUBEBUILDER_ASSETS names no control plane"),
]
Object = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[KubernetesClient, Client]]:
    """An API server with a namespace."""
    home: Path = tmp_path_factory.mktemp("owners")
    async with ControlPlane(home, port=free_port()) as plane:
        config = plane.kubeconfig
        async with Client.from_kubeconfig(config) as client, KubernetesClient(config) as kubernetes:
            await kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": "made"}})
            yield kubernetes, client


async def create(cluster: tuple[KubernetesClient, Client], item: Object, manager: str) -> Object | None:
    """POST an object in a manager's name and read it; None where this server does not take it."""
    kubernetes, client = cluster
    resource = await kubernetes.resource(item["apiVersion"], item["kind"])
    if resource is None:
        return None
    path = resource.path(namespace=item["metadata"].get("namespace"))
    try:
        await client.request("POST", path, body=item, params={"fieldManager": manager})
    except ApiError:
        return None
    return await kubernetes.get_like(item)


def found(declared: Object, live: Object | None) -> list[tuple[str, str | None]]:
    """What differs, and who did it."""
    assert live is not None
    findings = compare_objects([declared], {key_of(declared): live}, plane=PlaneName.ADDONS)
    return [(one.path, one.changed.who if one.changed else None) for one in findings]


@pytest.mark.asyncio(loop_scope="module")
async def test_what_is_defaulted_in_a_persons_name_is_no_drift(cluster: tuple[KubernetesClient, Client]) -> None:
    said, made = {}, set()
    for file in FILES:
        for item in yaml.safe_load_all(fill((MANIFESTS / f"{file}.yaml").read_text(), "made", "made")):
            live = await create(cluster, item, "kubectl-create") if item else None
            if live is not None:
                made.add(item["kind"])
                said |= {f"{item['kind']}{path}": who for path, who in found(item, live)}
    assert said == {}
    assert len(made) >= 25


DEPLOYMENT: Object = yaml.safe_load("""
apiVersion: apps/v1
kind: Deployment
metadata: {name: mine, namespace: made, labels: {app: web}}
spec:
  selector: {matchLabels: {app: web}}
  template:
    metadata: {labels: {app: web}}
    spec:
      containers: [{name: web, image: "web:1", ports: [{containerPort: 80}]}]
""")
POD = ".spec.template.spec"


@pytest.mark.asyncio(loop_scope="module")
async def test_who_makes_an_object_anew_by_hand_is_found_out(cluster: tuple[KubernetesClient, Client]) -> None:
    kubernetes, client = cluster
    assert found(DEPLOYMENT, await create(cluster, DEPLOYMENT, "helm")) == []
    resource = await kubernetes.resource("apps/v1", "Deployment")
    assert resource is not None
    await client.request("DELETE", resource.path("mine", "made"))
    hostile = copy.deepcopy(DEPLOYMENT)
    spec = hostile["spec"]["template"]["spec"]
    spec |= {"hostPID": True, "serviceAccountName": "admin", "tolerations": [{"operator": "Exists"}]}
    spec["containers"][0]["securityContext"] = {"privileged": True}
    expected = {f"{POD}.containers[name=web].securityContext", f"{POD}.hostPID", f"{POD}.serviceAccountName",
                f"{POD}.serviceAccount", f"{POD}.tolerations"}  # fmt: skip
    live = await create(cluster, hostile, "kubectl-create")
    assert set(found(DEPLOYMENT, live)) == {(path, "kubectl-create") for path in expected}
    # And still after helm has written to it.
    mark = {"metadata": {"annotations": {"meta.helm.sh/release-name": "web"}}}
    params, patch = {"fieldManager": "helm"}, "application/merge-patch+json"
    await client.request("PATCH", resource.path("mine", "made"), body=mark, params=params, content_type=patch)
    assert set(found(DEPLOYMENT, await kubernetes.get_like(DEPLOYMENT))) >= {
        (path, "kubectl-create") for path in expected
    }


@pytest.mark.asyncio(loop_scope="module")
async def test_addresses_and_a_patch_right_after_birth_are_told(cluster: tuple[KubernetesClient, Client]) -> None:
    kubernetes, client = cluster
    service: Object = {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "mine", "namespace": "made"},
                       "spec": {"type": "NodePort", "selector": {"app": "web"}, "ports": [{"port": 80}]}}  # fmt: skip
    assert found(service, await create(cluster, service, "helm")) == []
    resource = await kubernetes.resource("v1", "Service")
    assert resource is not None
    path, patch = resource.path("mine", "made"), "application/merge-patch+json"
    body = {"spec": {"externalIPs": ["192.0.2.1"]}}
    await client.request("PATCH", path, body=body, params={"fieldManager": "kubectl-patch"}, content_type=patch)
    mark = {"metadata": {"annotations": {"meta.helm.sh/release-name": "web"}}}
    await client.request("PATCH", path, body=mark, params={"fieldManager": "helm"}, content_type=patch)
    live = await kubernetes.get_like(service)
    assert found(service, live) == [(".spec.externalIPs", "kubectl-patch")]
    findings = compare_objects([service], {key_of(service): live or {}}, plane=PlaneName.ADDONS)
    assert [one.severity for one in findings] == [Severity.SECURITY]
