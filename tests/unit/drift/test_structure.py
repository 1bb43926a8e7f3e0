"""What a definition says of a custom resource: defaults in what a person wrote, and fields that nobody keeps."""

from __future__ import annotations

from typing import Any

import pytest

from infra.drift.findings import Finding, PlaneName
from infra.drift.objects import compare_objects, key_of
from infra.drift.structure import Structures
from tests.unit.drift.comparing import Object, book, paths, written

PORT: Object = {
    "type": "object",
    "properties": {
        "name": {"type": "string"},
        "open": {"type": "boolean", "default": False},
        "weight": {"type": "integer", "default": 100},
        "mode": {"type": "object", "default": {}, "properties": {"kind": {"type": "string", "default": "Fast"}}},
        "retries": {"type": "integer"},
        "deny": {"type": "boolean"},
    },
}
SPEC: Object = {
    "type": "object",
    "properties": {
        "ports": {"type": "array", "items": PORT},
        "free": {"type": "object", "x-kubernetes-preserve-unknown-fields": True, "properties": {"known": PORT}},
        "labels": {"type": "object", "additionalProperties": {"type": "string"}},
        "any": {"type": "object", "additionalProperties": True},
        "template": {"type": "object", "x-kubernetes-embedded-resource": True, "properties": {"spec": PORT}},
        "selector": {"type": "object", "properties": {"a": {"type": "string"}}},
    },
}
CRD: Object = {
    "apiVersion": "apiextensions.k8s.io/v1",
    "kind": "CustomResourceDefinition",
    "metadata": {"name": "doors.example.org"},
    "spec": {
        "group": "example.org",
        "names": {"kind": "Door", "plural": "doors"},
        "scope": "Namespaced",
        "versions": [
            {"name": "v1", "schema": {"openAPIV3Schema": {"type": "object", "properties": {"spec": SPEC}}}},
            {"name": "v2", "schema": {}},
        ],
    },
}
PERSON = book("kubectl-edit", {"f:spec": {"f:ports": {}}})


def door(spec: Object, version: str = "v1", *entries: Object) -> Object:
    item = {"apiVersion": f"example.org/{version}", "kind": "Door", "metadata": {"name": "d", "namespace": "dev"}}
    return written({**item, "spec": spec}, *entries)


def found(declared: Object, live: Object, *, known: bool = True) -> list[Finding]:
    there = [live, CRD] if known else [live]
    return compare_objects([declared], {key_of(each): each for each in there}, plane=PlaneName.ADDONS)


FULL = {"name": "a", "open": False, "weight": 100, "mode": {"kind": "Fast"}}


def test_defaults_in_the_items_of_a_list_that_a_person_wrote_are_none_of_theirs() -> None:
    declared = door({"ports": [{"name": "a"}]})
    live = door({"ports": [FULL]}, "v1", PERSON)
    assert paths(found(declared, live)) == []
    # Without the definition they are the person's, whose list it is.
    assert paths(found(declared, live, known=False)) == [".spec.ports[0].weight", ".spec.ports[0].mode"]


@pytest.mark.parametrize(
    ("field", "value"),
    [("open", True), ("weight", 0), ("weight", 1), ("mode", {"kind": "Slow"}), ("retries", 0), ("deny", False)],
)
def test_what_is_no_default_a_person_chose(field: str, value: Any) -> None:
    live = door({"ports": [{**FULL, field: value}]}, "v1", PERSON)
    assert paths(found(door({"ports": [{"name": "a"}]}), live)) == [f".spec.ports[0].{field}"]


@pytest.mark.parametrize(
    "spec",
    [
        {"typo": 1},
        {"ports": [{"name": "a", "typo": 1}]},
        {"free": {"known": {"name": "a", "typo": {"x": 1}}}},
        {"template": {"typo": 1}},
        {"selector": {"typo": "x"}},
    ],
)
def test_what_no_property_names_nobody_has_taken_away(spec: Object) -> None:
    live = door(_without_typos(spec))
    assert paths(found(door(spec), live)) == []
    assert len(found(door(spec), live, known=False)) == 1


@pytest.mark.parametrize(
    ("spec", "path"),
    [
        ({"labels": {"typo": "x"}}, ".spec.labels.typo"),
        ({"any": {"typo": "x"}}, ".spec.any.typo"),
        ({"free": {"typo": "x"}}, ".spec.free.typo"),
        ({"template": {"kind": "x", "typo": 1}}, ".spec.template.kind"),
        ({"template": {"spec": {"name": "x"}}}, ".spec.template.spec.name"),
        ({"ports": [{"name": "a", "weight": 7}]}, ".spec.ports[0].weight"),
    ],
)
def test_what_is_kept_and_gone_somebody_has_taken_away(spec: Object, path: str) -> None:
    live = door(_without(spec, path.rpartition(".")[2]))
    assert paths(found(door(spec), live)) == [path]


def test_metadata_is_kept() -> None:
    declared = door({})
    declared["metadata"] = {**declared["metadata"], "labels": {"a": "b"}}
    assert paths(found(declared, door({}))) == [".metadata.labels"]


@pytest.mark.parametrize("version", ["v2", "v3"])
def test_a_version_without_a_schema_says_nothing(version: str) -> None:
    assert paths(found(door({"typo": 1}, version), door({}, version))) == [".spec.typo"]


def test_a_definition_of_old_that_preserves_unknown_fields_drops_none() -> None:
    kept = {**CRD, "spec": {**CRD["spec"], "preserveUnknownFields": True}}
    structure = Structures([kept]).of(door({}))
    assert structure is not None
    assert structure.keeps(("spec", "typo"))


def _without_typos(value: Any) -> Any:
    return _without(value, "typo")


def _without(value: Any, name: str) -> Any:
    if isinstance(value, dict):
        return {key: _without(each, name) for key, each in value.items() if key != name}
    return [_without(each, name) for each in value] if isinstance(value, list) else value


def test_what_is_applied_is_without_what_the_server_drops() -> None:
    spec: Object = {
        "typo": 1,
        "ports": [{"name": "a", "typo": {"x": 1}}],
        "free": {"anything": {"goes": 1}, "known": {"name": "a", "typo": 1}},
        "labels": {"a": "b"},
        "any": {"a": [{"b": 1}]},
        "template": {"metadata": {"name": "x"}, "kind": "Y", "spec": {"name": "z", "typo": 1}, "typo": 1},
        "selector": {"a": "b", "typo": "c"},
    }
    declared = door(spec)
    structure = Structures([CRD]).of(declared)
    assert structure is not None
    assert structure.kept(declared) == {
        **declared,
        "spec": {
            "ports": [{"name": "a"}],
            "free": {"anything": {"goes": 1}, "known": {"name": "a"}},
            "labels": {"a": "b"},
            "any": {"a": [{"b": 1}]},
            "template": {"metadata": {"name": "x"}, "kind": "Y", "spec": {"name": "z"}},
            "selector": {"a": "b"},
        },
    }
    assert "typo" in spec
