"""Sequences of patches on both servers: after every step the objects have to be equal, managedFields included."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.compare import same
from tests.conformance.conftest import Pair
from tests.conformance.harness import JSON_PATCH, MERGE_PATCH, STRATEGIC_PATCH, Cluster

pytestmark = pytest.mark.envtest
Object = dict[str, Any]


def deployment(name: str, **spec: Any) -> Object:
    return {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": name}, "spec": spec}


CONTAINER_A = {"name": "a", "image": "i:1", "env": [{"name": "A", "value": "1"}, {"name": "B", "value": "2"}],
               "ports": [{"containerPort": 80}]}  # fmt: skip
BASE = {
    "selector": {"matchLabels": {"app": "x"}},
    "template": {
        "metadata": {"labels": {"app": "x"}},
        "spec": {
            "containers": [CONTAINER_A, {"name": "b", "image": "j:1"}],
            "volumes": [{"name": "v", "emptyDir": {}}],
        },
    },
}


def pod(**spec: Any) -> Object:
    return {"spec": {"template": {"spec": spec}}}


STEPS: list[tuple[str, str, Any]] = [
    ("an item by its merge key", STRATEGIC_PATCH, pod(containers=[{"name": "b", "image": "j:2"}])),
    ("delete, add and order", STRATEGIC_PATCH,
     pod(**{"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}],
            "containers": [{"name": "c", "image": "k"},
                           {"name": "a", "env": [{"name": "A", "$patch": "delete"}, {"name": "Z", "value": "9"}]}]})),
    ("retainKeys in a list", STRATEGIC_PATCH,
     pod(volumes=[{"name": "v", "$retainKeys": ["name", "configMap"], "configMap": {"name": "q"}}])),
    ("retainKeys in a struct", STRATEGIC_PATCH, {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}),
    ("primitives merge", STRATEGIC_PATCH, {"metadata": {"finalizers": ["x.io/a", "x.io/b"]}}),
    ("primitives go", STRATEGIC_PATCH,
     {"metadata": {"$deleteFromPrimitiveList/finalizers": ["x.io/a"], "$setElementOrder/finalizers": ["x.io/c",
         "x.io/b"],
                   "finalizers": ["x.io/c"]}}),
    ("replace a map", STRATEGIC_PATCH, {"metadata": {"finalizers": None, "labels": {"$patch": "replace", "z": "1"}}}),
    ("replace a list", STRATEGIC_PATCH, pod(containers=[{"name": "only", "image": "q"}, {"$patch": "replace"}])),
    ("merge patch", MERGE_PATCH, {"spec": {"replicas": 4, "paused": True}, "metadata": {"labels": {"m": "1",
        "z": None}}}),
    ("JSON patch", JSON_PATCH,
     [{"op": "test", "path": "/spec/replicas", "value": 4}, {"op": "add", "path": "/metadata/labels/x~1y",
         "value": "1"},
      {"op": "replace", "path": "/spec/template/spec/containers/0/image", "value": "new"},
      {"op": "remove", "path": "/spec/paused"}]),
    ("a failing test", JSON_PATCH, [{"op": "test", "path": "/spec/replicas", "value": 5}]),
    ("a missing path", JSON_PATCH, [{"op": "remove", "path": "/spec/nope"}]),
    ("an old version", MERGE_PATCH, {"metadata": {"resourceVersion": "1"}}),
    ("an immutable field", MERGE_PATCH, {"spec": {"selector": {"matchLabels": {"app": "y"}}}}),
    ("a wrong type", MERGE_PATCH, {"spec": {"replicas": "x"}}),
    ("another name", MERGE_PATCH, {"metadata": {"name": "other"}}),
    ("an unknown patch type", "application/foo", {}),
    ("nothing", MERGE_PATCH, {}),
    ("annotations", MERGE_PATCH, {"metadata": {"annotations": {"a": "b"}}}),
    ("quantities", STRATEGIC_PATCH, pod(containers=[{"name": "only", "resources": {"limits": {"cpu": "1500m",
        "memory": "1024Ki"}}}])),
]  # fmt: skip


def test_every_patch_type_changes_both_the_same(pair: Pair, shared_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{shared_namespace}/deployments"
    same(
        pair,
        lambda server: server.post(path, {**deployment("d", **BASE), "metadata": {"name": "d", "labels": {"a": "1"}}}),
    )
    for what, content_type, body in STEPS:
        try:
            same(pair, lambda server, body=body, sort=content_type: server.patch(f"{path}/d", body, sort))
        except AssertionError as error:
            raise AssertionError(f"after the step “{what}”:\n{error}") from error
    same(pair, lambda server: server.request("GET", f"{path}/d"))


def test_status_and_scale_have_their_own_door(pair: Pair, shared_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{shared_namespace}/deployments"
    for server in (pair.embedded, pair.real):
        server.post(path, deployment("d", paused=True, **BASE))

    def without_owners(answer: Any) -> Any:
        body = answer.json()
        body["metadata"].pop("managedFields", None)
        return body

    for method, place, body in (
        ("PATCH", "d/status", {"status": {"replicas": 3, "observedGeneration": 1}, "spec": {"replicas": 9}}),
        ("PATCH", "d", {"status": {"replicas": 7}, "spec": {"replicas": 2}}),
        ("PATCH", "d/scale", {"spec": {"replicas": 5}}),
        ("GET", "d/scale", None),
        ("GET", "d", None),
    ):
        answers = [
            server.request(method, f"{path}/{place}", body, content_type=MERGE_PATCH)
            for server in (pair.embedded, pair.real)
        ]
        assert [answer.status_code for answer in answers] == [200, 200]
        ours, theirs = (without_owners(answer) for answer in answers)
        assert ours["spec"] == theirs["spec"], place
        if place == "d/scale":
            assert ours["status"]["selector"] == theirs["status"]["selector"] == "app=x"


def test_a_put_replaces_and_conflicts(pair: Pair, shared_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{shared_namespace}/deployments"
    same(pair, lambda server: server.post(path, deployment("d", paused=True, **BASE)))
    held = {server.name: server.get(f"{path}/d") for server in (pair.embedded, pair.real)}

    def put(server: Cluster) -> Any:
        item = held[server.name]
        item["spec"]["replicas"] = 2
        item["metadata"]["labels"] = {"n": "1"}
        return server.put(f"{path}/d?fieldManager=putter", item)

    ours, _ = same(pair, put)
    assert ours.json()["metadata"]["generation"] == 2
    ours, _ = same(pair, put)
    assert ours.status_code == 409
    same(pair, lambda server: server.put(f"{path}/other", held[server.name]))
