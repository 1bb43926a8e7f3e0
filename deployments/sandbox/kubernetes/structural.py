"""Structural schemas of custom resources: their types, pruning, defaulting.

Rules: https://kubernetes.io/docs/tasks/extend-kubernetes/custom-resources/custom-resource-definitions/
"""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes.types import ANY, Type, library
from deployments.sandbox.kubernetes.wire import copy

Schema = dict[str, Any]
PRESERVE = "x-kubernetes-preserve-unknown-fields"
INT_OR_STRING = "x-kubernetes-int-or-string"
EMBEDDED = "x-kubernetes-embedded-resource"
_META = {"apiVersion": {"type": "string"}, "kind": {"type": "string"}, "metadata": {"type": "object", PRESERVE: True}}
_SCALARS = {"string": "string", "integer": "integer", "number": "number", "boolean": "boolean"}


def object_type(schema: Schema | None) -> Type:
    """The type of a whole custom object."""
    built = _type(schema or {PRESERVE: True, "type": "object"})
    if built.kind == "any":
        built = Type("struct", open=True)
    fields = dict(built.fields)
    fields |= {"apiVersion": Type("string"), "kind": Type("string"), "metadata": library().get("meta.v1.ObjectMeta")}
    return Type("struct", fields=fields, open=built.open, schema=schema)


def _type(schema: Schema) -> Type:
    if schema.get(INT_OR_STRING):
        return Type("int-or-string")
    kind = schema.get("type")
    if kind == "array":
        items = schema.get("items")
        list_type = schema.get("x-kubernetes-list-type", "atomic")
        elem = _type(items) if isinstance(items, dict) else ANY
        defaults = {
            name: prop["default"] for name, prop in ((items or {}).get("properties") or {}).items() if "default" in prop
        }
        keys = tuple(schema.get("x-kubernetes-list-map-keys") or ())
        return Type("list", elem=elem, list_type=list_type, keys=keys, key_defaults=defaults)
    if kind == "object" or schema.get("properties") or schema.get(PRESERVE):
        return _object(schema)
    return Type(_SCALARS[kind]) if kind in _SCALARS else ANY


def _object(schema: Schema) -> Type:
    atomic = schema.get("x-kubernetes-map-type") == "atomic"
    properties = dict(schema.get("properties") or {})
    if schema.get(EMBEDDED):
        properties = _META | properties
    additional = schema.get("additionalProperties")
    if properties:
        fields = {name: _type(sub) for name, sub in properties.items()}
        return Type("struct", fields=fields, open=bool(schema.get(PRESERVE)), atomic=atomic)
    if isinstance(additional, dict):
        return Type("map", elem=_type(additional), atomic=atomic)
    return Type("any", atomic=atomic)


def prune(schema: Schema, value: Any, path: str = "", unknown: list[str] | None = None, *, root: bool = False) -> Any:
    """Drop, in place, fields the schema does not declare; their paths are added to `unknown`."""
    if isinstance(value, list):
        items = schema.get("items")
        if isinstance(items, dict):
            for position, item in enumerate(value):
                prune(items, item, f"{path}[{position}]", unknown)
        return value
    if not isinstance(value, dict):
        return value
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    reserved = root or bool(schema.get(EMBEDDED))
    for name in list(value):
        below = f"{path}.{name}" if path else name
        if reserved and name in _META:
            continue
        if name in properties:
            prune(properties[name], value[name], below, unknown)
        elif isinstance(additional, dict):
            prune(additional, value[name], below, unknown)
        elif not schema.get(PRESERVE) and additional is not True:
            del value[name]
            if unknown is not None:
                unknown.append(below)
    return value


def default(schema: Schema, value: Any) -> Any:
    """Fill in, in place, the defaults of fields that are absent (or null and not nullable)."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name, sub in properties.items():
            if "default" in sub and (name not in value or (value[name] is None and not sub.get("nullable"))):
                value[name] = copy(sub["default"])
            if name in value:
                default(sub, value[name])
        additional = schema.get("additionalProperties")
        if isinstance(additional, dict):
            for name, item in value.items():
                if name not in properties:
                    default(additional, item)
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            default(schema["items"], item)
    return value


def drop_nulls(schema: Schema, value: Any) -> Any:
    """Drop, in place, nulls of declared fields that are not nullable, as the real server does before validation."""
    if isinstance(value, dict):
        properties = schema.get("properties") or {}
        for name in list(value):
            sub = properties.get(name)
            if sub is None:
                continue
            if value[name] is None and not sub.get("nullable") and "default" in sub:
                del value[name]
            else:
                drop_nulls(sub, value[name])
    elif isinstance(value, list) and isinstance(schema.get("items"), dict):
        for item in value:
            drop_nulls(schema["items"], item)
    return value
