"""Server-side apply on both servers: ownership, conflicts, force, removal, lists by key."""

from __future__ import annotations

from typing import Any

import pytest

from tests.conformance.compare import same
from tests.conformance.conftest import Pair
from tests.conformance.harness import APPLY_PATCH, MERGE_PATCH
from tests.conformance.test_patches import deployment

pytestmark = pytest.mark.envtest
Object = dict[str, Any]
BASE: Object = {
    "selector": {"matchLabels": {"app": "x"}},
    "template": {
        "metadata": {"labels": {"app": "x"}},
        "spec": {"containers": [{"name": "a", "image": "i:1", "env": [{"name": "A", "value": "1"}],
                                 "ports": [{"containerPort": 80}]}]},
    },
}  # fmt: skip
SIDECAR = {"spec": {"containers": [{"name": "b", "image": "side"}], "securityContext": {"runAsUser": 5}}}
NEW_IMAGE = {"spec": {"containers": [{"name": "a", "image": "i:2"}]}}


NOTHING: Object = {"apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "s"}}


def labelled(item: Object, **metadata: Any) -> Object:
    return {**item, "metadata": {**item["metadata"], **metadata}}


STEPS: list[tuple[str, Object, bool, int]] = [
    ("m1", deployment("s", replicas=2, **BASE), False, 201),
    ("m1", deployment("s", replicas=2, **BASE), False, 200),
    ("m2", deployment("s", replicas=3), False, 409),
    ("m2", deployment("s", replicas=3), True, 200),
    ("m1", deployment("s", **BASE), False, 200),
    ("m1", labelled(deployment("s", **BASE), labels={"l": "1"}, annotations={"x": "y"}), False, 200),
    ("m1", deployment("s", **BASE), False, 200),
    ("m2", deployment("s", template=SIDECAR), False, 200),
    ("m2", deployment("s", replicas=1), True, 200),
    ("m2", deployment("s", replicas=1, template=NEW_IMAGE), False, 409),
    ("m2", deployment("s", replicas=1, template=NEW_IMAGE), True, 200),
    ("m3", deployment("s", strategy={"type": "Recreate"}), False, 422),
    ("m3", deployment("s", strategy={"type": "RollingUpdate"}), False, 200),
    ("m3", NOTHING, False, 200),
    ("m3", deployment("s", foo=1), False, 500),
    ("m2", NOTHING, False, 422),
]


def test_managers_share_a_deployment(pair: Pair, shared_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{shared_namespace}/deployments/s"
    for number, (manager, body, force, code) in enumerate(STEPS):
        try:
            ours, _ = same(pair, lambda server, m=manager, b=body, f=force: server.apply(path, b, m, force=f))
        except AssertionError as error:
            raise AssertionError(f"step {number}, {manager}: {error}") from error
        assert ours.status_code == code, f"step {number}: {ours.text[:400]}"


def test_conflicts_name_the_manager_and_the_field(pair: Pair, shared_namespace: str) -> None:
    path = f"/apis/apps/v1/namespaces/{shared_namespace}/deployments/s"
    for server in (pair.embedded, pair.real):
        server.apply(path, deployment("s", replicas=2, **BASE), "m1")
        server.patch(f"{path}?fieldManager=scaler", {"spec": {"minReadySeconds": 5}}, MERGE_PATCH)
    for body in (
        deployment("s", replicas=3),
        deployment("s", minReadySeconds=6),
        deployment("s", replicas=3, minReadySeconds=6),
    ):
        ours, theirs = same(pair, lambda server, b=body: server.apply(path, b, "m2"))
        assert ours.status_code == 409

        def causes(answer: Any) -> Any:
            return sorted((cause["field"], cause["message"]) for cause in answer.json()["details"]["causes"])

        assert causes(ours) == causes(theirs)
        if len(causes(ours)) == 1:
            assert ours.json()["message"] == theirs.json()["message"]


def test_a_config_map_loses_what_is_no_longer_applied(pair: Pair, shared_namespace: str) -> None:
    path = f"/api/v1/namespaces/{shared_namespace}/configmaps/c"

    def config(data: Object | None, **metadata: Any) -> Object:
        item: Object = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", **metadata}}
        return item if data is None else {**item, "data": data}

    bodies = [config({"a": "1", "b": "2"}, finalizers=["x.io/z"]), config({"a": "1"}), config(None), config({"n": "1"})]
    for body in bodies:
        same(pair, lambda server, b=body: server.apply(path, b))
    same(pair, lambda server: server.patch(path, {"metadata": {"managedFields": [{}]}}, MERGE_PATCH))
    same(pair, lambda server: server.patch(path, {"data": {"q": "r"}}, MERGE_PATCH))
    same(pair, lambda server: server.apply(path, config({"q": "r"})))


def test_ports_of_a_service_are_one_item_each(pair: Pair, shared_namespace: str) -> None:
    path = f"/api/v1/namespaces/{shared_namespace}/services/s"

    def service(*ports: Object) -> Object:
        spec = {"ports": list(ports), "selector": {"a": "b"}}
        return {"apiVersion": "v1", "kind": "Service", "metadata": {"name": "s"}, "spec": spec}

    web, dns = {"port": 80, "name": "a"}, {"port": 81, "name": "b", "protocol": "UDP"}
    for ports in ((web, dns), (web,), (web, dns)):
        same(pair, lambda server, p=ports: server.apply(path, service(*p)))


@pytest.mark.parametrize(
    "query", ["", "?fieldManager=m&force=maybe", "?fieldManager=m&dryRun=Some"], ids=["no manager", "force", "dry run"]
)
def test_options_are_checked(pair: Pair, shared_namespace: str, query: str) -> None:
    path = f"/apis/apps/v1/namespaces/{shared_namespace}/deployments/s{query}"
    answers = [server.patch(path, deployment("s", **BASE), APPLY_PATCH) for server in (pair.embedded, pair.real)]
    if "force" in query:
        assert {answer.status_code // 100 for answer in answers} <= {2, 4}
    else:
        assert [answer.status_code for answer in answers] == [422, 422]
