"""The pure parts, each by a table of inputs and what the real server makes of them."""

from __future__ import annotations

from typing import Any

import pytest

from deployments.sandbox.kubernetes import (
    age,
    jsonpath,
    patches,
    quantity,
    schema,
    selectors,
    strategic,
    structural,
    typed,
)
from deployments.sandbox.kubernetes.errors import StatusError
from deployments.sandbox.kubernetes.protobuf import MAGIC, decode_body, encode
from deployments.sandbox.kubernetes.types import library

Object = dict[str, Any]


@pytest.mark.parametrize(
    ("given", "stored"),
    [("1000m", "1"), ("0.5", "500m"), (0.5, "500m"), (1, "1"), ("1024Mi", "1Gi"), ("1536Mi", "1536Mi"), ("1Gi", "1Gi"),
     ("1e3", "1e3"), ("1000k", "1M"), ("0", "0"), ("100m", "100m"), ("0.1Gi", "107374182400m"), ("-5", "-5"), ("1500",
         "1500")],
)  # fmt: skip
def test_quantities_take_their_canonical_form(given: Any, stored: str) -> None:
    assert quantity.canonical(given) == stored


@pytest.mark.parametrize("given", ["", "x", "1 Gi", "1gi", True, None])
def test_what_is_no_quantity(given: Any) -> None:
    with pytest.raises(ValueError, match="quantities must"):
        quantity.canonical(given)


@pytest.mark.parametrize(
    ("seconds", "shown"),
    [(0, "0s"), (119, "119s"), (120, "2m"), (125, "2m5s"), (600, "10m"), (10800, "3h"), (11000, "3h3m"), (90000, "25h"),
     (3 * 86400 + 7200, "3d2h"), (9 * 86400, "9d"), (800 * 86400, "2y70d"), (9 * 365 * 86400, "9y")],
)  # fmt: skip
def test_ages_as_kubectl_shows_them(seconds: int, shown: str) -> None:
    assert age.human(seconds) == shown


def test_decoding_drops_what_go_drops() -> None:
    report = typed.Report()
    spec = {"hostNetwork": False, "nodeSelector": {}, "automountServiceAccountToken": False, "nope": 1,
        "priority": None,
            "containers": [{"name": "c", "image": "i", "stdin": False, "resources": {"limits": {"cpu": "1000m"}},
                "x": 2}]}  # fmt: skip
    decoded = typed.decode(library().get("core.v1.PodSpec"), spec, report, "spec")
    container = {"name": "c", "image": "i", "resources": {"limits": {"cpu": "1"}}}
    assert decoded == {"automountServiceAccountToken": False, "containers": [container]}
    assert report.unknown == ["spec.nope", "spec.containers[0].x"]


def test_an_empty_deployment_shows_its_structs() -> None:
    empty = typed.zero(library().get("apps.v1.Deployment"))
    assert empty["status"] == {}
    assert empty["metadata"] == {"creationTimestamp": None}
    assert empty["spec"]["strategy"] == {}
    assert empty["spec"]["template"] == {"metadata": {"creationTimestamp": None}, "spec": {"containers": None}}


@pytest.mark.parametrize(
    ("kind", "value"),
    [("string", 1), ("integer", "1"), ("integer", 1.5), ("boolean", "true"), ("number", "x"), ("quantity", "x"),
     ("time", "yesterday"), ("bytes", "not base64!"), ("int-or-string", 1.5), ("bytes", 1)],
)  # fmt: skip
def test_wrong_types_are_refused(kind: str, value: Any) -> None:
    with pytest.raises(typed.DecodeError):
        typed.scalar(kind, value, "spec.x")


def test_times_are_kept_in_utc() -> None:
    assert typed.timestamp("2026-01-01T02:00:00+02:00", "t") == "2026-01-01T00:00:00Z"
    assert typed.timestamp("2026-01-01T00:00:00.5Z", "t", micro=True) == "2026-01-01T00:00:00.500000Z"


LABELS = {"app": "web", "tier": "front"}


@pytest.mark.parametrize(
    ("selector", "matches"),
    [("", True), ("app=web", True), ("app==web,tier!=back", True), ("app in (web,api)", True), ("app notin (web)",
        False),
     ("missing notin (x)", True), ("!missing", True), ("tier", True), ("app=api", False), ("missing", False)],
)  # fmt: skip
def test_label_selectors(selector: str, matches: bool) -> None:
    assert selectors.parse_labels(selector).matches(LABELS) is matches


@pytest.mark.parametrize("selector", ["a b", "=x", "a in x", "app=we b"])
def test_label_selectors_that_mean_nothing(selector: str) -> None:
    with pytest.raises(StatusError) as caught:
        selectors.parse_labels(selector)
    assert caught.value.code == 400


def test_selector_objects() -> None:
    expressions = [{"key": "tier", "operator": "In", "values": ["front"]}, {"key": "x", "operator": "DoesNotExist"}]
    assert selectors.selects({"matchLabels": {"app": "web"}, "matchExpressions": expressions}, LABELS)
    assert selectors.selects({}, LABELS)
    assert not selectors.selects(None, LABELS)


def test_field_selectors() -> None:
    terms = selectors.parse_fields("status.phase=Running,metadata.name!=a", "pods")
    assert selectors.fields_match(terms)({"metadata": {"name": "b"}, "status": {"phase": "Running"}})
    assert not selectors.fields_match(terms)({"metadata": {"name": "a"}, "status": {"phase": "Running"}})
    with pytest.raises(StatusError):
        selectors.parse_fields("spec.nope=1", "pods")
    with pytest.raises(StatusError):
        selectors.parse_fields("nonsense", "pods")


@pytest.mark.parametrize(
    ("path", "found"),
    [(".spec.size", [3]), ("{.spec.size}", [3]), (".spec.list[0]", ["a"]), (".spec.list[*]", ["a", "b"]),
        (".spec.list[9]", []),
     ('.status.conditions[?(@.type=="Ready")].status', ["True"]), (".metadata.annotations.a\\.b/c", ["x"]),
     (".nope.x", [])],
)  # fmt: skip
def test_json_paths(path: str, found: list[Any]) -> None:
    item = {"metadata": {"annotations": {"a.b/c": "x"}}, "spec": {"size": 3, "list": ["a", "b"]},
            "status": {"conditions": [{"type": "Other", "status": "?"}, {"type": "Ready",
                "status": "True"}]}}  # fmt: skip
    assert jsonpath.find(path, item) == found


def test_a_json_path_we_do_not_know_says_so() -> None:
    with pytest.raises(ValueError, match="unsupported JSONPath"):
        jsonpath.find(".a[?(@.b>1)]", {})


DEPLOYMENT = library().get("apps.v1.Deployment")


def containers(*items: Object, **extra: Any) -> Object:
    return {"spec": {"template": {"spec": {"containers": list(items), **extra}}}}


def merged(original: Object, change: Object) -> Any:
    return strategic.patch(DEPLOYMENT, original, change)["spec"]["template"]["spec"]["containers"]


def test_strategic_merge_by_name() -> None:
    base = containers({"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"})
    assert merged(base, containers({"name": "b", "image": "3"})) == [
        {"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "3"}]  # fmt: skip
    assert merged(base, containers({"name": "a", "$patch": "delete"})) == [{"name": "b", "image": "2"}]
    assert merged(base, containers({"name": "a", "args": ["y"]}))[0]["args"] == ["y"]
    assert merged(base, containers({"$patch": "replace"}, {"name": "n"})) == [{"name": "n"}]
    assert base == containers({"name": "a", "image": "1", "args": ["x"]}, {"name": "b", "image": "2"})


def test_strategic_merge_order_and_primitives() -> None:
    base = containers({"name": "a"}, {"name": "b"})
    order = {"$setElementOrder/containers": [{"name": "c"}, {"name": "b"}, {"name": "a"}]}
    assert [item["name"] for item in merged(base, containers({"name": "c"}, **order))] == ["c", "b", "a"]
    only_order = {"spec": {"template": {"spec": {"$setElementOrder/containers": [{"name": "b"}, {"name": "a"}]}}}}
    assert [item["name"] for item in merged(base, only_order)] == ["b", "a"]
    held = {"metadata": {"finalizers": ["a", "b"]}}
    change = {"metadata": {"$deleteFromPrimitiveList/finalizers": ["a"], "finalizers": ["c"]}}
    assert sorted(strategic.patch(DEPLOYMENT, held, change)["metadata"]["finalizers"]) == ["b", "c"]


def test_strategic_directives() -> None:
    base = {"spec": {"strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1}}}}
    change = {"spec": {"strategy": {"$retainKeys": ["type"], "type": "Recreate"}}}
    assert strategic.patch(DEPLOYMENT, base, change) == {"spec": {"strategy": {"type": "Recreate"}}}
    assert strategic.patch(DEPLOYMENT, base, {"spec": {"$patch": "delete"}}) == {"spec": {}}
    assert strategic.patch(DEPLOYMENT, base, {"$patch": "replace", "spec": {"replicas": 1}}) == {
        "spec": {"replicas": 1}
    }
    for wrong in ({"$patch": "sing"}, {"spec": {"$retainKeys": "type"}}, containers({"image": "nameless"})):
        with pytest.raises(StatusError):
            strategic.patch(DEPLOYMENT, base, wrong)


def test_json_patches() -> None:
    base = {"a": {"b": [1, 2]}, "c": 3}
    steps = [{"op": "add", "path": "/a/b/1", "value": 9}, {"op": "add", "path": "/a/b/-", "value": 8},
             {"op": "move", "from": "/c", "path": "/d"}, {"op": "copy", "from": "/a/b/0", "path": "/e~1f"},
             {"op": "replace", "path": "/d", "value": None}, {"op": "remove", "path": "/a/b/0"}]  # fmt: skip
    assert patches.json_patch(base, steps) == {"a": {"b": [9, 2, 8]}, "d": None, "e/f": 1}
    assert base == {"a": {"b": [1, 2]}, "c": 3}
    for wrong in ([{"op": "remove", "path": "/x"}], [{"op": "test", "path": "/c", "value": 4}], [{"op": "sing",
        "path": "/c"}],
                  [{"op": "add", "path": "/a/b/9", "value": 1}], [{"op": "add", "path": "x", "value": 1}],
                  {"op": "add"},
                  [{"op": "add", "path": "/c/d", "value": 1}]):  # fmt: skip
        with pytest.raises(StatusError):
            patches.json_patch(base, wrong)


def test_merge_patches() -> None:
    assert patches.merge_patch({"a": {"b": 1, "c": 2}, "d": [1]}, {"a": {"b": None}, "d": [2]}) == {
        "a": {"c": 2},
        "d": [2],
    }
    assert patches.merge_patch({"a": 1}, [1]) == [1]


SCHEMA: Object = {
    "type": "object",
    "properties": {
        "spec": {
            "type": "object",
            "required": ["size"],
            "properties": {
                "size": {"type": "integer", "minimum": 1, "exclusiveMaximum": True, "maximum": 10, "multipleOf": 1},
                "color": {"type": "string", "default": "red", "enum": ["red", "blue"]},
                "when": {"type": "string", "format": "date-time"},
                "map": {
                    "type": "object",
                    "maxProperties": 1,
                    "minProperties": 1,
                    "additionalProperties": {"type": "string"},
                },
                "list": {
                    "type": "array",
                    "minItems": 1,
                    "items": {"type": "object", "properties": {"x": {"default": 1}}},
                },
                "open": {"type": "object", "x-kubernetes-preserve-unknown-fields": True},
                "embedded": {
                    "type": "object",
                    "x-kubernetes-embedded-resource": True,
                    "x-kubernetes-preserve-unknown-fields": True,
                },
                "some": {"anyOf": [{"type": "integer"}, {"type": "string"}], "not": {"enum": ["no"]}},
                "all": {"allOf": [{"minimum": 2}], "type": "number"},
            },
        }
    },
}


@pytest.mark.parametrize(
    ("spec", "field"),
    [({}, "spec.size"), ({"size": 0}, "spec.size"), ({"size": 10}, "spec.size"), ({"color": "green"}, "spec.color"),
     ({"when": "late"}, "spec.when"), ({"map": {}}, "spec.map"), ({"map": {"a": "1", "b": "2"}}, "spec.map"),
     ({"map": {"a": 1}}, "spec.map.a"), ({"list": []}, "spec.list"), ({"embedded": {}}, "spec.embedded.kind"),
     ({"some": []}, "<nil>"), ({"some": "no"}, "<nil>"), ({"all": 1}, "spec.all"), ({"color": None}, "spec.color"),
     (1, "spec")],
)  # fmt: skip
def test_schemas_refuse(spec: Any, field: str) -> None:
    whole = {"size": 3, **spec} if isinstance(spec, dict) and spec else spec
    assert field in {cause.field for cause in schema.validate(SCHEMA, {"spec": whole})}


def test_schemas_accept() -> None:
    good = {
        "size": 3,
        "color": "blue",
        "when": "2026-01-01T00:00:00Z",
        "map": {"a": "b"},
        "some": 1,
        "all": 2.5,
        "list": [{}],
    }
    assert schema.validate(SCHEMA, {"spec": good}) == []


def test_pruning_and_defaults() -> None:
    item: Object = {"kind": "X", "metadata": {"name": "a"}, "extra": 1,
                    "spec": {"size": 3, "nope": 1, "open": {"kept": 1}, "list": [{"y": 2}], "embedded": {"kind": "K",
                        "z": 1}}}  # fmt: skip
    unknown: list[str] = []
    structural.prune(SCHEMA, item, "", unknown, root=True)
    structural.default(SCHEMA, item)
    assert item["spec"] == {
        "size": 3,
        "open": {"kept": 1},
        "list": [{"x": 1}],
        "embedded": {"kind": "K", "z": 1},
        "color": "red",
    }
    assert unknown == ["extra", "spec.nope", "spec.list[0].y"]


def test_protobuf_bodies() -> None:
    metadata = encode([(1, "demo"), (11, encode([(1, "a"), (2, "b")])), (14, "x.io/f"), (7, 300)])
    body = MAGIC + encode(
        [
            (1, encode([(1, "v1"), (2, "ConfigMap")])),
            (2, encode([(1, metadata), (2, encode([(1, "k"), (2, "v")])), (4, 1)])),
        ]
    )
    assert decode_body(body) == {
        "apiVersion": "v1", "kind": "ConfigMap", "data": {"k": "v"}, "immutable": True,
        "metadata": {"name": "demo", "labels": {"a": "b"}, "finalizers": ["x.io/f"], "generation": 300},
    }  # fmt: skip
    unknown = MAGIC + encode([(1, encode([(1, "v1"), (2, "Mystery")])), (2, b"")])
    for wrong in (unknown, b"{}"):
        with pytest.raises(StatusError) as caught:
            decode_body(wrong)
        assert caught.value.code == 415
