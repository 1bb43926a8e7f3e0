"""Schemas that point outside their chart: what is left of them, and that nobody asks for the rest."""

from __future__ import annotations

import json
import tarfile
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from infra.clients.errors import InvalidInput
from infra.clients.helm_schemas import inside, schemas_alone

OUT = "https://example.org/kubernetes.json"
DRAFT_7 = "http://json-schema.org/draft-07/schema#"
PORT = {"type": "integer"}


@pytest.mark.parametrize(
    ("schema", "left", "outside"),
    [
        # Nothing points outside.
        ({"$schema": DRAFT_7, "$ref": "#/definitions/a", "definitions": {"a": PORT}}, None, set()),
        ({"$ref": DRAFT_7}, None, set()),
        ({"$id": "https://example.org/a.json", "properties": {"p": {"$ref": "#/$defs/p"}}, "$defs": {"p": PORT}},
         None, set()),
        ({"$id": "https://example.org/a.json", "allOf": [{"$ref": "b.json"}], "$defs": {"b": {"$id": "b.json"}}},
         None, set()),
        ({"$defs": {"a": {"$anchor": "here"}}, "allOf": [{"$ref": "#here"}]}, None, set()),
        # A property may be called as a keyword is.
        ({"properties": {"$ref": {"type": "string"}, "$schema": PORT, "$id": PORT}}, None, set()),
        # Something does.
        ({"properties": {"a": {"$ref": f"{OUT}#/x"}, "b": PORT}}, {"properties": {"a": {}, "b": PORT}}, {OUT}),
        ({"$id": "https://example.org/a.json", "allOf": [{"$ref": "kubernetes.json"}]},
         {"$id": "https://example.org/a.json", "allOf": [{}]}, {OUT}),
        ({"allOf": [{"$ref": "other.json"}]}, {"allOf": [{}]}, {"file:///other.json"}),
        ({"x-own": {"deep": [{"$dynamicRef": OUT}]}}, {"x-own": {"deep": [{}]}}, {OUT}),
        # What stands beside a reference counts since 2019-09, and did not before.
        ({"allOf": [{"$ref": OUT, "minimum": 1}]}, {"allOf": [{"minimum": 1}]}, {OUT}),
        ({"$schema": DRAFT_7, "allOf": [{"$ref": OUT, "minimum": 1, "definitions": {"a": PORT}}]},
         {"$schema": DRAFT_7, "allOf": [{"definitions": {"a": PORT}}]}, {OUT}),
        # A dialect of one's own.
        ({"$schema": "https://example.org/dialect", "type": "object"}, {"type": "object"},
         {"https://example.org/dialect"}),
        (True, None, set()),
    ],
)  # fmt: skip
def test_references_to_elsewhere_are_left_out(schema: Any, left: Any, outside: set[str]) -> None:
    assert inside(schema) == (schema if left is None else left, outside)


def pack(files: dict[str, bytes]) -> bytes:
    packed = BytesIO()
    with tarfile.open(fileobj=packed, mode="w:gz") as archive:
        for name, content in files.items():
            item = tarfile.TarInfo(name)
            item.size = len(content)
            archive.addfile(item, BytesIO(content))
    return packed.getvalue()


def unpack(packed: bytes) -> dict[str, bytes]:
    with tarfile.open(fileobj=BytesIO(packed), mode="r:gz") as archive:
        return {item.name: archive.extractfile(item).read() for item in archive}  # type: ignore[union-attr]


def schema(where: str) -> bytes:
    return json.dumps({"properties": {"a": {"$ref": where}, "b": PORT}}).encode()


def test_a_chart_and_its_subcharts_are_copied_with_nothing_to_install(tmp_path: Path) -> None:
    parts = {"Chart.yaml": b"name: x", "values.yaml": b"b: 1", "templates/a.yaml": b"kind: A", "crds/b.yaml": b"b"}
    inner = {f"inner/{name}": content for name, content in parts.items()}
    chart = tmp_path / "demo.tgz"
    chart.write_bytes(
        pack(
            {f"./demo/{name}": content for name, content in parts.items()}
            | {"./demo/values.schema.json": schema("https://one.example.org/")}
            | {"demo/charts/folder/values.schema.json": schema("https://two.example.org/x#/y")}
            | {"demo/charts/folder/templates/values.yaml": b"kind: B", "demo/files/values.schema.json": b"no"}
            | {"demo/charts/inner-1.tgz": pack(inner | {"inner/values.schema.json": schema("//three.example.org/")})}
        )
    )
    outside, copy = schemas_alone(chart)
    assert outside == ("file://three.example.org/", "https://one.example.org/", "https://two.example.org/x")
    found = unpack(copy)
    assert set(found) == {
        "demo/Chart.yaml",
        "demo/values.yaml",
        "demo/values.schema.json",
        "demo/charts/folder/values.schema.json",
        "demo/charts/inner-1.tgz",
    }
    found |= unpack(found["demo/charts/inner-1.tgz"])
    assert {"inner/Chart.yaml", "inner/values.yaml", "inner/values.schema.json"} <= set(found)
    assert not {name for name in found if "templates" in name or "crds" in name}
    for name in ("demo/values.schema.json", "demo/charts/folder/values.schema.json", "inner/values.schema.json"):
        assert json.loads(found[name]) == {"properties": {"a": {}, "b": PORT}}


def test_a_chart_that_points_nowhere_is_left_to_helm(tmp_path: Path) -> None:
    chart = tmp_path / "demo.tgz"
    chart.write_bytes(pack({"demo/values.schema.json": schema("#/properties/b")}))
    assert schemas_alone(chart)[0] == ()
    chart.write_bytes(pack({"demo/values.schema.json": b"{not json"}))
    assert schemas_alone(chart)[0] == ()
    chart.write_bytes(b"no chart")
    with pytest.raises(InvalidInput, match="not a packed chart"):
        schemas_alone(chart)
