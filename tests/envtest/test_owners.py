"""Who made an object, on a real kube-apiserver: what it defaults in a person's name, and what the person put there."""

from __future__ import annotations

import copy
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
import yaml

from deployments.sandbox.controllers.kube.client import ApiError, Client
from deployments.sandbox.controlplane.plane import ControlPlane
from infra.clients.kubernetes import KubernetesClient
from infra.drift.findings import PlaneName, Severity
from infra.drift.healing import as_scaled, removals
from infra.drift.objects import compare_objects, key_of
from tests.corpora.staging import GROUPS, MANIFESTS, fill

pytestmark = [
    pytest.mark.envtest,
]
Object = dict[str, Any]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def cluster(kept_plane: ControlPlane) -> AsyncIterator[tuple[KubernetesClient, Client]]:
    """An API server with a namespace."""
    config = kept_plane.kubeconfig
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
    for file in (*GROUPS["kinds"], *GROUPS["defaults"]):
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


MERGE = "application/merge-patch+json"
SCALER: Object = yaml.safe_load("""
apiVersion: autoscaling/v1
kind: HorizontalPodAutoscaler
metadata: {name: mine, namespace: made}
spec:
  maxReplicas: 5
  targetCPUUtilizationPercentage: 50
  scaleTargetRef: {apiVersion: apps/v1, kind: Deployment, name: switched}
""")


async def change(cluster: tuple[KubernetesClient, Client], item: Object, body: Object, subresource: str = "") -> None:
    """A merge patch by hand."""
    kubernetes, client = cluster
    resource = await kubernetes.resource(item["apiVersion"], item["kind"])
    assert resource is not None
    path = resource.path(item["metadata"]["name"], item["metadata"].get("namespace"), subresource or None)
    await client.request("PATCH", path, body=body, params={"fieldManager": "kubectl-edit"}, content_type=MERGE)


@pytest.mark.asyncio(loop_scope="module")
async def test_an_autoscaler_of_version_1_edited_through_a_newer_one_is_told(
    cluster: tuple[KubernetesClient, Client],
) -> None:
    kubernetes, _ = cluster
    assert found(SCALER, await create(cluster, SCALER, "helm")) == []
    newer = {"apiVersion": "autoscaling/v2", **{key: SCALER[key] for key in ("kind", "metadata")}}
    if await kubernetes.resource("autoscaling/v2", SCALER["kind"]) is None:
        newer["apiVersion"] = "autoscaling/v2beta2"
    await change(cluster, newer, {"spec": {"behavior": {"scaleDown": {"selectPolicy": "Disabled"}}}})
    live = await kubernetes.get_like(SCALER)
    assert found(SCALER, live) == [
        ('.metadata.annotations["autoscaling.alpha.kubernetes.io/behavior"]', "kubectl-edit")
    ]


@pytest.mark.asyncio(loop_scope="module")
async def test_the_off_switch_beside_an_autoscaler_is_told_and_healed(cluster: tuple[KubernetesClient, Client]) -> None:
    kubernetes, _ = cluster
    scaled = copy.deepcopy(DEPLOYMENT)
    scaled["metadata"]["name"] = "switched"
    scaled["spec"]["replicas"] = 2
    scalers = {key_of(SCALER): SCALER}
    assert found(scaled, await create(cluster, scaled, "helm")) == []
    await change(cluster, scaled, {"spec": {"replicas": 4}, "metadata": {"annotations": {"a": "b"}}})
    live = await kubernetes.get_like(scaled)
    assert live is not None
    assert [path for path, _ in found(scaled, live)] == [".metadata.annotations.a", ".spec.replicas"]
    there = await kubernetes.apply(dict(as_scaled(scaled, live, scalers)))
    removed = removals(scaled, there, beside=scalers)
    await kubernetes.patch("apps/v1", "Deployment", "switched", removed, "made", type="json")
    live = await kubernetes.get_like(scaled)
    assert live is not None
    assert (live["spec"]["replicas"], live["metadata"].get("annotations", {}).get("a")) == (4, None)
    await change(cluster, scaled, {"spec": {"replicas": 0}})
    live = await kubernetes.get_like(scaled)
    assert live is not None
    findings = compare_objects([scaled], {**scalers, key_of(scaled): live}, plane=PlaneName.ADDONS)
    assert [(one.path, one.changed.who if one.changed else None) for one in findings] == [
        (".spec.replicas", "kubectl-edit")
    ]
    there = await kubernetes.apply(dict(as_scaled(scaled, live, scalers)))
    assert there["spec"]["replicas"] == 2


@pytest.mark.asyncio(loop_scope="module")
async def test_another_order_is_set_back_by_applying(cluster: tuple[KubernetesClient, Client]) -> None:
    kubernetes, _ = cluster
    ordered = copy.deepcopy(DEPLOYMENT)
    ordered["metadata"]["name"] = "ordered"
    spec = ordered["spec"]["template"]["spec"]
    spec["initContainers"] = [{"name": "first", "image": "a:1"}, {"name": "second", "image": "b:1"}]
    spec["containers"][0]["env"] = [{"name": "A", "value": "1"}, {"name": "B", "value": "$(A)2"}]
    assert found(ordered, await create(cluster, ordered, "helm")) == []
    turned = copy.deepcopy(spec)
    turned["initContainers"].reverse()
    turned["containers"][0]["env"].reverse()
    await change(cluster, ordered, {"spec": {"template": {"spec": turned}}})
    live = await kubernetes.get_like(ordered)
    assert {path for path, _ in found(ordered, live)} == {f"{POD}.initContainers", f"{POD}.containers[name=web].env"}
    there = await kubernetes.apply(ordered)
    # Whether server-side apply sets it back depends on the version.
    order = removals(ordered, there)
    if order:
        there = await kubernetes.patch("apps/v1", "Deployment", "ordered", order, "made", type="json")
    assert found(ordered, there) == []


@pytest.mark.asyncio(loop_scope="module")
async def test_ties_by_hand_and_notes_by_way_of_the_status_are_told(cluster: tuple[KubernetesClient, Client]) -> None:
    kubernetes, _ = cluster
    tied = copy.deepcopy(DEPLOYMENT)
    tied["metadata"]["name"] = "tied"
    await create(cluster, tied, "helm")
    # One that is not there would have the object deleted at once.
    config = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "owner", "namespace": "made"}}
    uid = (await kubernetes.apply(config))["metadata"]["uid"]
    owner = {"apiVersion": "v1", "kind": "ConfigMap", "name": "owner", "uid": uid}
    await change(cluster, tied, {"metadata": {"finalizers": ["example.org/wait"], "ownerReferences": [owner]}})
    await change(cluster, tied, {"metadata": {"annotations": {"a": "b"}}}, "status")
    live = await kubernetes.get_like(tied)
    assert {path for path, who in found(tied, live) if who == "kubectl-edit"} == {
        ".metadata.annotations.a",
        ".metadata.finalizers[=example.org/wait]",
        f".metadata.ownerReferences[uid={uid}]",
    }
