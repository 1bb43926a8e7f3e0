"""Lists, selectors, pages, tables, watches, discovery: on each server by itself."""

from __future__ import annotations

import json
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from tests.conformance.conftest import Pair
from tests.conformance.harness import Cluster

Object = dict[str, Any]
TABLE = "application/json;as=Table;v=v1;g=meta.k8s.io,application/json"


@pytest.fixture
def configs(cluster: Cluster, namespace: str) -> str:
    """The path of three config maps: a (x=1), b (x=2), c."""
    path = f"/api/v1/namespaces/{namespace}/configmaps"
    for name, labels in (("a", {"x": "1"}), ("b", {"x": "2"}), ("c", {})):
        assert (
            cluster.post(path, {"metadata": {"name": name, "labels": labels}, "data": {"k": name}}).status_code == 201
        )
    return path


def names(listing: Object) -> list[str]:
    found = sorted(item["metadata"]["name"] for item in listing["items"])
    return [name for name in found if name != "kube-root-ca.crt"]


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("labelSelector=x%3D1", "a"), ("labelSelector=x%3D%3D1", "a"), ("labelSelector=x", "ab"), ("labelSelector=!x",
            "c"),
        ("labelSelector=x+in+(1,2)", "ab"), ("labelSelector=x!%3D1", "bc"), ("labelSelector=x+notin+(1)", "bc"),
        ("labelSelector=x,x!%3D1", "b"), ("fieldSelector=metadata.name%3Db", "b"),
        ("fieldSelector=metadata.name!%3Db", "ac"),
        ("resourceVersion=0", "abc"), ("fieldSelector=metadata.name%3Da&labelSelector=x%3D2", ""),
    ],
)  # fmt: skip
def test_selectors(cluster: Cluster, configs: str, query: str, expected: str) -> None:
    assert names(cluster.get(f"{configs}?{query}")) == list(expected)


@pytest.mark.parametrize("query", ["fieldSelector=data.k%3Db", "labelSelector=a+b", "continue=garbage"])
def test_queries_that_mean_nothing(cluster: Cluster, configs: str, query: str) -> None:
    assert cluster.request("GET", f"{configs}?{query}").status_code == 400


def test_pages(cluster: Cluster, configs: str) -> None:
    seen: list[str] = []
    query = f"{configs}?limit=2"
    versions = set()
    while True:
        page = cluster.get(query)
        seen += names(page)
        versions.add(page["metadata"]["resourceVersion"])
        token = page["metadata"].get("continue")
        if not token:
            break
        cluster.post(configs, {"metadata": {"name": f"aa{len(seen)}"}})
        query = f"{configs}?limit=2&continue={token}"
    assert [name for name in seen if not name.startswith("aa")] == ["a", "b", "c"]
    assert len(versions) == 1


def test_items_of_builtin_lists_have_no_kind(cluster: Cluster, configs: str) -> None:
    listing = cluster.get(configs)
    assert (listing["kind"], listing["apiVersion"]) == ("ConfigMapList", "v1")
    assert all("kind" not in item and "apiVersion" not in item for item in listing["items"])


@pytest.mark.envtest
@pytest.mark.parametrize(
    "path",
    ["api/v1/configmaps", "api/v1/services", "apis/apps/v1/deployments", "apis/apps/v1/statefulsets", "api/v1/secrets",
     "apis/apps/v1/daemonsets", "apis/apps/v1/replicasets", "api/v1/nodes", "api/v1/serviceaccounts",
     "api/v1/endpoints",
     "apis/storage.k8s.io/v1/storageclasses", "apis/networking.k8s.io/v1/ingresses", "api/v1/namespaces",
     "apis/rbac.authorization.k8s.io/v1/rolebindings", "apis/rbac.authorization.k8s.io/v1/clusterroles",
     "api/v1/events",
     "apis/networking.k8s.io/v1/networkpolicies", "apis/networking.k8s.io/v1/ingressclasses",
     "api/v1/replicationcontrollers",
     "apis/coordination.k8s.io/v1/leases", "apis/admissionregistration.k8s.io/v1/validatingwebhookconfigurations",
     "apis/apiextensions.k8s.io/v1/customresourcedefinitions", "apis/apps/v1/controllerrevisions"],
)  # fmt: skip
def test_tables_have_the_same_columns(pair: Pair, path: str) -> None:
    def columns(server: Cluster) -> list[Any]:
        listed = server.get(f"/{path}", accept=TABLE)["columnDefinitions"]
        return [(column["name"], column["type"], column["format"], column["priority"]) for column in listed]

    assert columns(pair.embedded) == columns(pair.real)


@pytest.mark.envtest
def test_rows_have_the_same_cells(pair: Pair, shared_namespace: str) -> None:
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    place = f"/apis/apps/v1/namespaces/{shared_namespace}/deployments"
    body = {
        "metadata": {"name": "d"},
        "spec": {"paused": True, "selector": {"matchLabels": {"a": "b"}}, "template": template},
    }
    service = {
        "metadata": {"name": "s"},
        "spec": {"clusterIP": "None", "selector": {"a": "b"}, "ports": [{"port": 80}]},
    }
    for server in (pair.embedded, pair.real):
        server.post(place, body)
        server.post(f"/api/v1/namespaces/{shared_namespace}/services", service)
    for path in (place, f"{place}/d", f"/api/v1/namespaces/{shared_namespace}/services/s"):
        ours, theirs = (server.get(path, accept=TABLE) for server in (pair.embedded, pair.real))

        def cells(table: Object) -> list[Any]:
            age = [column["name"] for column in table["columnDefinitions"]].index("Age")
            return [[cell for place, cell in enumerate(row["cells"]) if place != age] for row in table["rows"]]

        assert cells(ours) == cells(theirs)
        assert ours["rows"][0]["object"]["kind"] == theirs["rows"][0]["object"]["kind"] == "PartialObjectMetadata"


def test_partial_metadata(cluster: Cluster, configs: str) -> None:
    accept = "application/json;as=PartialObjectMetadataList;g=meta.k8s.io;v=v1"
    listing = cluster.get(configs, accept=accept)
    assert listing["kind"] == "PartialObjectMetadataList"
    assert all("data" not in item for item in listing["items"])
    one = cluster.get(f"{configs}/a", accept="application/json;as=PartialObjectMetadata;g=meta.k8s.io;v=v1")
    assert one["kind"] == "PartialObjectMetadata" and one["metadata"]["name"] == "a"


class Watch:
    """A watch read by a thread of its own."""

    def __init__(self, cluster: Cluster, path: str, accept: str = "application/json") -> None:
        self.events: list[Object] = []
        self.ready = threading.Event()
        self._cluster, self._path, self._accept = cluster, path, accept
        self._thread = threading.Thread(target=self._read)

    def __enter__(self) -> Watch:
        self._thread.start()
        assert self.ready.wait(10)
        return self

    def __exit__(self, *_: object) -> None:
        self._thread.join(20)
        assert not self._thread.is_alive()

    def _read(self) -> None:
        with self._cluster.as_user("admin").stream("GET", self._path, headers={"Accept": self._accept}) as answer:
            self.ready.set()
            for line in answer.iter_lines():
                self.events.append(json.loads(line))

    def seen(self) -> Iterator[tuple[str, str]]:
        for event in self.events:
            if event["type"] != "BOOKMARK":
                yield event["type"], event["object"]["metadata"].get("name", "")


def test_watch_follows_changes(cluster: Cluster, configs: str) -> None:
    version = cluster.get(configs)["metadata"]["resourceVersion"]
    with Watch(
        cluster, f"{configs}?watch=true&resourceVersion={version}&timeoutSeconds=2&allowWatchBookmarks=true"
    ) as watch:
        cluster.post(configs, {"metadata": {"name": "new"}})
        cluster.patch(f"{configs}/a", {"data": {"k": "z"}})
        cluster.delete(f"{configs}/b")
    assert list(watch.seen()) == [("ADDED", "new"), ("MODIFIED", "a"), ("DELETED", "b")]
    deleted = watch.events[2]["object"]
    assert int(deleted["metadata"]["resourceVersion"]) > int(version)
    assert deleted["kind"] == "ConfigMap"


def test_watch_by_selector_sees_objects_come_and_go(cluster: Cluster, configs: str) -> None:
    version = cluster.get(configs)["metadata"]["resourceVersion"]
    query = f"watch=true&resourceVersion={version}&timeoutSeconds=2&labelSelector=x%3D1"
    with Watch(cluster, f"{configs}?{query}") as watch:
        cluster.patch(f"{configs}/c", {"metadata": {"labels": {"x": "1"}}})
        cluster.patch(f"{configs}/a", {"metadata": {"labels": {"x": "9"}}})
        cluster.patch(f"{configs}/b", {"data": {"k": "z"}})
    assert list(watch.seen()) == [("ADDED", "c"), ("DELETED", "a")]


def test_watch_from_the_start_and_from_the_past(cluster: Cluster, configs: str) -> None:
    with Watch(cluster, f"{configs}?watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Da") as watch:
        pass
    assert list(watch.seen()) == [("ADDED", "a")]
    version = int(cluster.get(f"{configs}/a")["metadata"]["resourceVersion"])
    cluster.patch(f"{configs}/a", {"data": {"k": "1"}})
    cluster.patch(f"{configs}/a", {"data": {"k": "2"}})
    query = f"watch=true&timeoutSeconds=1&fieldSelector=metadata.name%3Da&resourceVersion={version}"
    with Watch(cluster, f"{configs}?{query}") as watch:
        pass
    assert [event["object"]["data"]["k"] for event in watch.events] == ["1", "2"]


def test_watch_as_table(cluster: Cluster, configs: str) -> None:
    with Watch(cluster, f"{configs}?watch=true&timeoutSeconds=1&labelSelector=x", TABLE) as watch:
        pass
    assert sorted(event["object"]["rows"][0]["cells"][0] for event in watch.events) == ["a", "b"]
    assert watch.events[0]["object"]["columnDefinitions"]
    assert not watch.events[1]["object"].get("columnDefinitions")


def test_discovery_knows_what_charts_use(cluster: Cluster) -> None:
    groups = {group["name"]: group for group in cluster.get("/apis")["groups"]}
    assert {"apps", "batch", "networking.k8s.io", "rbac.authorization.k8s.io", "storage.k8s.io", "apiextensions.k8s.io",
            "admissionregistration.k8s.io", "coordination.k8s.io", "policy"} <= groups.keys()  # fmt: skip
    resources = {item["name"]: item for item in cluster.get("/apis/apps/v1")["resources"]}
    assert {"deployments", "deployments/scale", "deployments/status", "statefulsets"} <= resources.keys()
    assert resources["deployments"]["shortNames"] == ["deploy"]
    assert resources["deployments/scale"]["kind"] == "Scale"
    core = {item["name"]: item for item in cluster.get("/api/v1")["resources"]}
    assert core["namespaces"]["namespaced"] is False and core["pods"]["categories"] == ["all"]
    assert cluster.get("/api")["versions"] == ["v1"]
    for path in ("/version", "/version/", "/healthz", "/readyz", "/livez", "/openapi/v2"):
        assert cluster.request("GET", path).status_code == 200


@pytest.mark.envtest
def test_discovery_lists_each_resource_the_same(pair: Pair) -> None:
    for path in ("/api/v1", "/apis/apps/v1", "/apis/storage.k8s.io/v1", "/apis/rbac.authorization.k8s.io/v1",
                 "/apis/networking.k8s.io/v1", "/apis/apiextensions.k8s.io/v1"):  # fmt: skip
        theirs = {item["name"]: item for item in pair.real.get(path)["resources"]}
        for item in pair.embedded.get(path)["resources"]:
            known = theirs.get(item["name"])
            if known is None:
                continue
            for key in ("kind", "namespaced", "shortNames"):
                assert item.get(key) == known.get(key), f"{path} {item['name']} {key}"
