"""CustomResourceDefinitions: schemas, defaults, pruning, versions, subresources, columns, their end."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterator
from typing import Any
from uuid import uuid4

import pytest

from tests.conformance.compare import same
from tests.conformance.conftest import Pair
from tests.conformance.harness import JSON_PATCH, STRATEGIC_PATCH, Cluster

Object = dict[str, Any]
DEFINITIONS = "/apis/apiextensions.k8s.io/v1/customresourcedefinitions"
ITEM = {"type": "object", "required": ["name"], "properties": {"name": {"type": "string"}, "v": {"type": "string"}}}
SPEC: Object = {
    "type": "object",
    "required": ["size"],
    "properties": {
        "size": {"type": "integer", "minimum": 1, "maximum": 10},
        "replicas": {"type": "integer", "default": 1},
        "color": {"type": "string", "enum": ["red", "blue"], "default": "red"},
        "code": {"type": "string", "pattern": "^[a-z]+$", "maxLength": 5, "minLength": 2},
        "port": {"x-kubernetes-int-or-string": True},
        "maybe": {"type": "string", "nullable": True},
        "items": {"type": "array", "maxItems": 3, "items": ITEM, "x-kubernetes-list-type": "map",
                  "x-kubernetes-list-map-keys": ["name"]},
        "tags": {"type": "array", "items": {"type": "string"}, "x-kubernetes-list-type": "set"},
        "plain": {"type": "array", "items": {"type": "string"}},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
        "map": {"type": "object", "additionalProperties": {"type": "integer"}},
        "nested": {"type": "object", "default": {}, "properties": {"deep": {"type": "string", "default": "yes"}}},
        "one": {"type": "object", "properties": {"a": {"type": "string"}, "b": {"type": "string"}},
                "oneOf": [{"required": ["a"]}, {"required": ["b"]}]},
    },
}  # fmt: skip


def version(name: str, **extra: Any) -> Object:
    columns = [{"name": "Size", "type": "integer", "jsonPath": ".spec.size"},
               {"name": "Ready", "type": "string", "jsonPath": '.status.conditions[?(@.type=="Ready")].status'},
               {"name": "Wide", "type": "string", "jsonPath": ".spec.color", "priority": 1}]  # fmt: skip
    status = {"type": "object", "x-kubernetes-preserve-unknown-fields": True}
    return {
        "name": name,
        "served": True,
        "storage": name == "v1",
        "subresources": {
            "status": {},
            "scale": {"specReplicasPath": ".spec.replicas", "statusReplicasPath": ".status.replicas"},
        },
        "additionalPrinterColumns": columns,
        "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC, "status": status}}},
        **extra,
    }


def definition(group: str, **spec: Any) -> Object:
    names = {"plural": "widgets", "singular": "widget", "kind": "Widget", "shortNames": ["wd"], "categories": ["all"]}
    versions = copy.deepcopy([version("v1"), version("v1beta1")])
    return {
        "apiVersion": "apiextensions.k8s.io/v1",
        "kind": "CustomResourceDefinition",
        "metadata": {"name": f"widgets.{group}"},
        "spec": {"group": group, "scope": "Namespaced", "names": names, "versions": versions, **spec},
    }


def established(cluster: Cluster, group: str) -> None:
    """Wait as clients do: the condition, then the path answers."""

    def ready() -> bool:
        conditions = cluster.get(f"{DEFINITIONS}/widgets.{group}").get("status", {}).get("conditions") or []
        return any(c["type"] == "Established" and c["status"] == "True" for c in conditions)

    cluster.until(ready, "the definition to be established")
    cluster.until(lambda: cluster.request("GET", f"/apis/{group}/v1/widgets").is_success, "the kind to be served")


@pytest.fixture
def group(controlled: Cluster) -> Iterator[str]:
    """The API group of a definition of the test's own."""
    name = f"g{uuid4().hex[:8]}.example.com"
    assert controlled.post(DEFINITIONS, definition(name)).status_code == 201
    established(controlled, name)
    yield name
    controlled.delete(f"{DEFINITIONS}/widgets.{name}")


def widget(group: str, name: str, **spec: Any) -> Object:
    return {"apiVersion": f"{group}/v1", "kind": "Widget", "metadata": {"name": name}, "spec": {"size": 3, **spec}}


def test_a_definition_says_what_it_accepted(controlled: Cluster, group: str) -> None:
    status = controlled.get(f"{DEFINITIONS}/widgets.{group}")["status"]
    assert status["storedVersions"] == ["v1"]
    assert status["acceptedNames"] == {"categories": ["all"], "kind": "Widget", "listKind": "WidgetList",
        "plural": "widgets",
                                       "shortNames": ["wd"], "singular": "widget"}  # fmt: skip
    listed = {item["name"]: item for item in controlled.get(f"/apis/{group}/v1")["resources"]}
    assert listed.keys() == {"widgets", "widgets/status", "widgets/scale"}
    versions = [entry["version"] for entry in controlled.get(f"/apis/{group}")["versions"]]
    assert versions == ["v1", "v1beta1"]


def test_defaults_and_pruning(controlled: Cluster, group: str) -> None:
    path = f"/apis/{group}/v1/namespaces/default/widgets"
    body = widget(group, "a", unknown="x", free={"any": [1]}, nested={"also": 1}, port="http", maybe=None)
    made = controlled.post(path, body).json()
    assert made["spec"] == {"size": 3, "replicas": 1, "color": "red", "free": {"any": [1]}, "nested": {"deep": "yes"},
                            "port": "http", "maybe": None}  # fmt: skip
    assert made["metadata"]["generation"] == 1


@pytest.mark.parametrize(
    ("spec", "field"),
    [
        ({"size": 0}, "spec.size"), ({"size": 11}, "spec.size"), ({"size": "3"}, "spec.size"), ({"color": "green"},
            "spec.color"),
        ({"code": "UPPER"}, "spec.code"), ({"code": "x"}, "spec.code"), ({"code": "toolong"}, "spec.code"),
        ({"port": 1.5}, "spec.port"), ({"items": [{"v": "1"}]}, "spec.items[0].name"), ({"map": {"a": "b"}},
            "spec.map.a"),
        ({"items": [{"name": "a"}, {"name": "a"}]}, "spec.items[1]"), ({"tags": ["a", "a"]}, "spec.tags[1]"),
        ({"one": {"a": "1", "b": "2"}}, "spec.one"), ({"size": None}, "spec.size"), ({"plain": "no list"},
            "spec.plain"),
    ],
)  # fmt: skip
def test_schemas_are_enforced(controlled: Cluster, group: str, spec: Object, field: str) -> None:
    answer = controlled.post(f"/apis/{group}/v1/namespaces/default/widgets", widget(group, "bad", **spec))
    assert answer.status_code == 422, answer.text
    # Kubernetes 1.20 leaves list positions out of fields, and both name no field for oneOf, only in the text.
    shown = {re.sub(r"\[\d+\]", "", cause["field"] + cause["message"]) for cause in answer.json()["details"]["causes"]}
    assert any(re.sub(r"\[\d+\]", "", field) in text for text in shown), shown


def test_versions_share_their_objects(controlled: Cluster, group: str) -> None:
    controlled.post(f"/apis/{group}/v1/namespaces/default/widgets", widget(group, "v"))
    path = f"/apis/{group}/v1beta1/namespaces/default/widgets"
    shown = controlled.get(f"{path}/v")
    assert shown["apiVersion"] == f"{group}/v1beta1"
    assert {item["apiVersion"] for item in controlled.get(path)["items"]} == {f"{group}/v1beta1"}
    assert controlled.patch(f"{path}/v", {"spec": {"size": 4}}).json()["apiVersion"] == f"{group}/v1beta1"
    assert controlled.get(f"/apis/{group}/v1/namespaces/default/widgets/v")["spec"]["size"] == 4


def test_subresources(controlled: Cluster, group: str) -> None:
    path = f"/apis/{group}/v1/namespaces/default/widgets/s"
    made = controlled.post(path.rpartition("/")[0], {**widget(group, "s"), "status": {"ignored": True}}).json()
    assert "status" not in made
    assert "status" not in controlled.patch(path, {"status": {"x": 1}}).json()
    shown = controlled.patch(f"{path}/status", {"status": {"replicas": 2}, "spec": {"size": 9}}).json()
    assert shown["status"] == {"replicas": 2} and shown["spec"]["size"] == 3
    assert shown["metadata"]["generation"] == 1
    scale = controlled.get(f"{path}/scale")
    assert (scale["spec"], scale["status"]["replicas"]) == ({"replicas": 1}, 2)
    assert controlled.patch(f"{path}/scale", {"spec": {"replicas": 6}}).json()["spec"]["replicas"] == 6
    changed = controlled.get(path)
    assert changed["spec"]["replicas"] == 6 and changed["metadata"]["generation"] == 2


def test_patches_and_puts(controlled: Cluster, group: str) -> None:
    path = f"/apis/{group}/v1/namespaces/default/widgets/p"
    made = controlled.post(path.rpartition("/")[0], widget(group, "p", plain=["a"])).json()
    assert controlled.patch(path, {"spec": {}}, STRATEGIC_PATCH).status_code == 415
    assert controlled.patch(path, [{"op": "add", "path": "/spec/plain/-", "value": "b"}], JSON_PATCH).json()["spec"][
        "plain"
    ] == ["a", "b"]
    unversioned = {**made, "metadata": {"name": "p", "namespace": "default"}}
    refused = controlled.put(path, unversioned)
    assert refused.status_code == 422
    assert refused.json()["details"]["causes"][0]["field"] == "metadata.resourceVersion"
    assert controlled.put(path, made).status_code == 409


def test_tables_show_the_declared_columns(controlled: Cluster, group: str) -> None:
    path = f"/apis/{group}/v1/namespaces/default/widgets"
    controlled.post(path, widget(group, "t"))
    controlled.patch(f"{path}/t/status", {"status": {"conditions": [{"type": "Ready", "status": "True"}]}})
    shown = controlled.get(f"{path}/t", accept="application/json;as=Table;v=v1;g=meta.k8s.io")
    columns = [(column["name"], column["type"], column["priority"]) for column in shown["columnDefinitions"]]
    assert columns == [("Name", "string", 0), ("Size", "integer", 0), ("Ready", "string", 0), ("Wide", "string", 1)]
    assert shown["rows"][0]["cells"] == ["t", 3, "True", "red"]


def test_a_definition_takes_its_objects_along(controlled: Cluster, group: str) -> None:
    path = f"/apis/{group}/v1/namespaces/default/widgets"
    held = widget(group, "held")
    held["metadata"]["finalizers"] = ["example.com/wait"]
    assert controlled.post(path, held).status_code == 201
    controlled.post(path, widget(group, "free"))
    controlled.delete(f"{DEFINITIONS}/widgets.{group}")
    controlled.gone(f"{path}/free")
    status = controlled.get(f"{DEFINITIONS}/widgets.{group}")["status"]
    assert any(c["type"] == "Terminating" and c["status"] == "True" for c in status["conditions"])
    controlled.patch(f"{path}/held", {"metadata": {"finalizers": None}})
    controlled.gone(f"{DEFINITIONS}/widgets.{group}")
    controlled.until(lambda: controlled.request("GET", path).status_code == 404, "the kind to go")


def test_a_namespace_takes_custom_objects_along(controlled: Cluster, group: str) -> None:
    namespace = controlled.namespace(f"c-{uuid4().hex[:8]}")
    controlled.post(f"/apis/{group}/v1/namespaces/{namespace}/widgets", widget(group, "w"))
    controlled.delete(f"/api/v1/namespaces/{namespace}")
    controlled.gone(f"/api/v1/namespaces/{namespace}", 60)
    assert controlled.get(f"/apis/{group}/v1/widgets")["items"] == []


BAD: dict[str, Any] = {
    "name": lambda item: item["metadata"].update(name="other.example.com"),
    "scope": lambda item: item["spec"].update(scope="Everywhere"),
    "no storage version": lambda item: [v.update(storage=False) for v in item["spec"]["versions"]],
    "no schema": lambda item: item["spec"]["versions"][0].pop("schema"),
    "no type": lambda item: item["spec"]["versions"][0]["schema"]["openAPIV3Schema"]["properties"]["spec"][
        "properties"
    ].update(code={"pattern": "x"}),
}


@pytest.mark.envtest
@pytest.mark.parametrize("what", BAD)
def test_bad_definitions_are_refused(pair: Pair, what: str) -> None:
    body = definition(f"g{uuid4().hex[:8]}.example.com")
    BAD[what](body)
    ours, theirs = (server.post(DEFINITIONS, body) for server in (pair.embedded, pair.real))
    assert ours.status_code == theirs.status_code == 422, ours.text
    fields = [
        {cause["field"].rpartition("openAPIV3Schema")[2] for cause in answer.json()["details"]["causes"]}
        for answer in (ours, theirs)
    ]
    assert fields[0] & fields[1], f"embedded {fields[0]}, real {fields[1]}"


@pytest.mark.envtest
def test_custom_objects_are_owned_the_same(pair: Pair, shared_namespace: str) -> None:
    group = f"g{uuid4().hex[:8]}.example.com"
    for server in (pair.embedded, pair.real):
        body = definition(group)
        for one in body["spec"]["versions"]:
            # Kubernetes 1.20 builds no model of a schema with int-or-string, and owns everything coarsely then.
            one["schema"]["openAPIV3Schema"]["properties"]["spec"]["properties"].pop("port", None)
        server.post(DEFINITIONS, body)
        established(server, group)
    place = f"/apis/{group}/v1/namespaces/{shared_namespace}/widgets"
    rich: Object = widget(
        group, "x", items=[{"name": "a", "v": "1"}], tags=["t"], plain=["p"], free={"k": "v"}, map={"m": 1}
    )
    same(pair, lambda server: server.post(place, {**rich, "metadata": {"name": "x", "labels": {"a": "b"}}}))
    same(pair, lambda server: server.patch(f"{place}/x", {"spec": {"free": {"n": 2}, "map": {"o": 2}}}))
    # Kubernetes 1.20 leaves null where the last item of a map goes, and refuses that: nobody gives up a last item here.
    first: Object = {"items": [{"name": "a", "v": "1"}], "free": {"k": "v"}}
    two: Object = {"tags": ["u"], "map": {"m": 1}}
    nine = [{"name": "a", "v": "9"}]
    steps: list[tuple[str, Object, bool]] = [
        ("m1", widget(group, "y", **first, tags=["t"]), False),
        ("m2", widget(group, "y", **two, items=[{"name": "b", "v": "2"}]), False),
        ("m2", widget(group, "y", **two, items=nine), False),
        ("m2", widget(group, "y", **two, items=nine), True),
        ("m1", widget(group, "y", **first, tags=["w"]), False),
        ("m1", widget(group, "y", **first, tags=["w"]), True),
        ("m1", widget(group, "y", **first, tags=["w"], plain=["x", "y"]), True),
        ("m2", widget(group, "y", **two, items=nine, plain=["x"]), False),
    ]
    for number, (manager, body, force) in enumerate(steps):
        try:
            same(pair, lambda server, m=manager, b=body, f=force: server.apply(f"{place}/y", b, m, force=f))
        except AssertionError as error:
            raise AssertionError(f"step {number}: {error}") from error
