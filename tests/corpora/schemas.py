"""The types of the API server, from the OpenAPI v3 documents it serves: the tables of drift are held against them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from deployments.sandbox.controllers.kube.client import Client
from tests.corpora.corpus import Field, Type

Schema = dict[str, Any]
QUANTITY = "io.k8s.apimachinery.pkg.api.resource.Quantity"
INT_OR_STRING = "io.k8s.apimachinery.pkg.util.intstr.IntOrString"
SCALARS = {QUANTITY: "quantity", INT_OR_STRING: "int-or-string"}
"""Types that are one value."""


async def record_types(client: Client) -> list[Type]:
    """Every type of the API server's own kinds, sorted by name."""
    index = await client.request("GET", "/openapi/v3")
    found: dict[str, Type] = {}
    for path, where in index["paths"].items():
        if path.startswith("api"):
            document = await client.request("GET", where["serverRelativeURL"])
            for each in _types(document["components"]["schemas"]):
                found[each.name] = each
    return [found[name] for name in sorted(found)]


def _types(schemas: dict[str, Schema]) -> Iterator[Type]:
    for name, schema in schemas.items():
        required = set(schema.get("required") or ())
        fields = {
            field: _field(each, schemas, field in required) for field, each in schema.get("properties", {}).items()
        }
        kinds = [("/".join(filter(None, (kind["group"], kind["version"]))), kind["kind"])
                 for kind in schema.get("x-kubernetes-group-version-kind") or ()]  # fmt: skip
        if fields:
            yield Type(name, kinds, fields)


def _field(schema: Schema, schemas: dict[str, Schema], required: bool) -> Field:
    kind, ref, node = _kind(schema, schemas)
    if kind not in ("list", "map"):
        return Field(kind, ref=ref, required=required)
    of, ref, _ = _kind(node["items"] if kind == "list" else node["additionalProperties"], schemas)
    keys = tuple(node.get("x-kubernetes-list-map-keys") or ()) if node.get("x-kubernetes-list-type") == "map" else ()
    return Field(kind, of, ref, keys, required)


def _kind(schema: Schema, schemas: dict[str, Schema]) -> tuple[str, str, Schema]:
    """The kind of a value, the name of its type, and the schema that says more."""
    # A default and a description stand beside the reference, which is the only one of "all" then.
    together = schema.get("allOf") or [schema]
    ref = together[0].get("$ref", "").rpartition("/")[2]
    if ref in SCALARS:
        return SCALARS[ref], "", schema
    node = schemas[ref] if ref else schema
    if node.get("type") == "array":
        return "list", ref, node
    if isinstance(node.get("additionalProperties"), dict):
        return "map", ref, node
    return ("object" if node.get("properties") else node.get("type", "any")), ref, node
