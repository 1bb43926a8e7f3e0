"""What Helm stores, against what it sent to a real kube-apiserver."""

from __future__ import annotations

import shutil
from datetime import UTC, datetime, timedelta
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import yaml

from deployments.sandbox.controllers.kube.client import Client
from deployments.sandbox.controlplane.plane import ControlPlane
from infra.clients.errors import NotYet
from infra.clients.helm import HelmClient
from infra.clients.helm_records import HelmRelease
from infra.clients.kubernetes import KubernetesClient, Object, UnknownKind
from infra.clients.waiting import wait_until
from infra.drift.findings import Finding, PlaneName
from infra.drift.objects import Key, compare_objects, key_of, placed
from infra.planes import manifests
from tests.corpora.corpus import HERE
from tests.corpora.scalars import KEYS, SCALARS
from tests.envtest.packing import packed
from tests.unit.planes.fakes import FakeJournal

pytestmark = [
    pytest.mark.envtest,
    pytest.mark.skipif(shutil.which("helm") is None, reason="helm is not on PATH"),
]

CRD = """
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: scalars.x.plumbline.dev}
spec:
  group: x.plumbline.dev
  names: {kind: Scalars, plural: scalars, singular: scalars, listKind: ScalarsList}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema: {openAPIV3Schema: {type: object, x-kubernetes-preserve-unknown-fields: true}}
"""
HEAD = "apiVersion: x.plumbline.dev/v1\nkind: Scalars\nmetadata: {name: all, namespace: scalars}\nspec:\n"

DOORS: Object = yaml.safe_load("""
apiVersion: apiextensions.k8s.io/v1
kind: CustomResourceDefinition
metadata: {name: doors.x.plumbline.dev}
spec:
  group: x.plumbline.dev
  names: {kind: Door, plural: doors}
  scope: Namespaced
  versions:
  - name: v1
    served: true
    storage: true
    schema:
      openAPIV3Schema:
        type: object
        properties:
          spec:
            type: object
            properties:
              bell: {type: boolean}
              ports:
                type: array
                items:
                  type: object
                  properties:
                    name: {type: string}
                    open: {type: boolean, default: false}
                    weight: {type: integer, default: 100}
                    mode: {type: object, default: {}, properties: {kind: {type: string, default: Fast}}}
                    deny: {type: boolean}
""")
DOOR: Object = {
    "apiVersion": "x.plumbline.dev/v1",
    "kind": "Door",
    "metadata": {"name": "front", "namespace": "default"},
    "spec": {"typo": 1, "ports": [{"name": "a", "typo": {"x": 1}}]},
}


async def namespaced(kubernetes: KubernetesClient, release: HelmRelease) -> list[Object]:
    """The objects of a release as the API server files them."""
    objects = release.objects()
    known = {
        (each["apiVersion"], each["kind"]): await kubernetes.resource(each["apiVersion"], each["kind"])
        for each in objects
    }
    return placed(objects, release.namespace, lambda *kind: known[kind].namespaced)


async def live_of(kubernetes: KubernetesClient, declared: list[Object]) -> dict[Key, Object]:
    """What the API server has of objects."""
    found = [await kubernetes.get_like(each) for each in declared]
    return {key_of(each): each for each in found if each is not None}


async def test_a_stored_manifest_is_read_as_helm_read_it(
    kubernetes: KubernetesClient, helm: HelmClient, tmp_path: Path
) -> None:
    written = "".join(f"  - {each}\n" for each in SCALARS), "".join(f"    {each}: x\n" for each in KEYS)
    text = f"{HEAD}  values:\n{written[0]}  keys:\n{written[1]}"
    done = await helm.ensure(
        "demo", "scalars", packed(tmp_path, **{"crds/a.yaml": CRD, "templates/all.yaml": text}), {}
    )
    declared = done.release.objects()
    live = await live_of(kubernetes, declared)
    assert declared[0]["spec"] == live[key_of(declared[0])]["spec"]
    assert compare_objects(declared, live, plane=PlaneName.ADDONS) == []


async def test_what_is_declared_as_empty_is_filled_in_without_an_alarm(
    kubernetes: KubernetesClient, helm: HelmClient, tmp_path: Path
) -> None:
    text = (HERE / "manifests/empties.yaml").read_text()
    chart = packed(tmp_path, **{"templates/all.yaml": text})
    done = await helm.ensure("empties", "empties", chart, {}, wait=False)
    declared = await namespaced(kubernetes, done.release)
    live = await live_of(kubernetes, declared)
    assert len(live) == len(declared) >= 25
    assert [each.sentence for each in compare_objects(declared, live, plane=PlaneName.ADDONS)] == []
    for item in live.values():
        del item["metadata"]["managedFields"]
    assert [each.sentence for each in compare_objects(declared, live, plane=PlaneName.ADDONS)] == []


async def test_what_a_definition_drops_and_fills_in_is_no_drift(
    plane: ControlPlane, kubernetes: KubernetesClient
) -> None:
    await kubernetes.apply(DOORS)
    await wait_until(partial(_created, kubernetes), describe="a door", timeout=30, interval=0.2)
    await wait_until(partial(_settled, kubernetes), describe="the door's first seconds", timeout=30, interval=0.2)
    async with Client.from_kubeconfig(plane.kubeconfig) as person:

        async def edited(spec: Object) -> list[Finding]:
            await person.request(
                "PATCH",
                "/apis/x.plumbline.dev/v1/namespaces/default/doors/front",
                body={"spec": spec},
                params={"fieldManager": "kubectl-edit"},
                content_type="application/merge-patch+json",
            )
            return await looked(kubernetes)

        assert await looked(kubernetes) == []
        # Somebody writes the list, takes it back, and owns it from then on with its defaults.
        assert [each.path for each in await edited({"ports": [{"name": "a"}, {"name": "b"}]})] == [".spec.ports[1]"]
        assert await edited({"ports": [{"name": "a"}]}) == []
        for field, value in (("open", True), ("weight", 0), ("deny", False)):
            changed = await edited({"ports": [{"name": "a", field: value}]})
            assert [each.path for each in changed] == [f".spec.ports[0].{field}"]
        assert [each.path for each in await edited({"ports": []})] == [".spec.ports[0]"]


async def test_a_door_made_anew_by_hand_is_set_back_although_its_declaration_has_a_field_that_is_dropped(
    plane: ControlPlane, kubernetes: KubernetesClient
) -> None:
    await kubernetes.apply(DOORS)
    await wait_until(partial(_created, kubernetes), describe="a door", timeout=30, interval=0.2)
    await kubernetes.delete("x.plumbline.dev/v1", "Door", "front", "default")
    async with Client.from_kubeconfig(plane.kubeconfig) as person:
        mine = {**DOOR, "spec": {"ports": DOOR["spec"]["ports"], "bell": True}}
        where = "/apis/x.plumbline.dev/v1/namespaces/default/doors"
        await person.request("POST", where, body=mine, params={"fieldManager": "kubectl-create"})
    found = await looked(kubernetes)
    assert [each.path for each in found] == [".spec.bell"]
    journal: Any = FakeJournal()
    assert await manifests.apply(kubernetes, journal, PlaneName.ADDONS, [DOOR], found) == ["Door/default/front"]
    assert await looked(kubernetes) == []
    door = await kubernetes.get_like(DOOR)
    assert door is not None and "bell" not in door["spec"]


async def _created(kubernetes: KubernetesClient) -> None:
    if await kubernetes.get_like(DOOR) is not None:
        return
    try:
        await kubernetes.create(DOOR)
    except UnknownKind as error:
        raise NotYet("The API server does not know doors yet.") from error


async def _settled(kubernetes: KubernetesClient) -> None:
    """Who writes in the first seconds counts as who created it."""
    door = await kubernetes.get_like(DOOR)
    assert door is not None
    born = datetime.fromisoformat(door["metadata"]["creationTimestamp"])
    if datetime.now(UTC) - born <= timedelta(seconds=3):
        raise NotYet("The door has just been made.")


async def looked(kubernetes: KubernetesClient) -> list[Finding]:
    """The findings about the door."""
    live = await live_of(kubernetes, [DOOR, DOORS])
    return compare_objects([DOOR], live, plane=PlaneName.ADDONS)


GATED: list[Object] = [
    {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "metadata": {"name": "gated", "namespace": "default"},
        # Off by default before Kubernetes 1.21.
        "spec": {
            "ttlSecondsAfterFinished": 100,
            "template": {"spec": {"restartPolicy": "Never", "containers": [{"name": "c", "image": "b"}]}},
        },
    },
    {
        "apiVersion": "v1",
        "kind": "Service",
        "metadata": {"name": "gated", "namespace": "default"},
        # The first is off by default before 1.22.
        "spec": {
            "type": "LoadBalancer",
            "allocateLoadBalancerNodePorts": False,
            "publishNotReadyAddresses": True,
            "loadBalancerSourceRanges": ["192.0.2.0/24"],
            "selector": {"a": "b"},
            "ports": [{"name": "a", "port": 80}],
        },
    },
]


async def test_what_a_feature_that_is_off_drops_is_told_from_what_somebody_took_away(
    plane: ControlPlane, kubernetes: KubernetesClient
) -> None:
    for item in GATED:
        await kubernetes.create(item)
    assert compare_objects(GATED, await live_of(kubernetes, GATED), plane=PlaneName.ADDONS) == []
    taken = ["/spec/publishNotReadyAddresses", "/spec/loadBalancerSourceRanges", "/spec/ports/0/name"]
    async with Client.from_kubeconfig(plane.kubeconfig) as person:
        await person.request(
            "PATCH",
            "/api/v1/namespaces/default/services/gated",
            body=[{"op": "remove", "path": path} for path in taken],
            params={"fieldManager": "kubectl-patch"},
            content_type="application/json-patch+json",
        )
    found = compare_objects(GATED, await live_of(kubernetes, GATED), plane=PlaneName.ADDONS)
    assert sorted(each.path for each in found) == [
        ".spec.loadBalancerSourceRanges",
        ".spec.ports[port=80,protocol=TCP].name",
        ".spec.publishNotReadyAddresses",
    ]
