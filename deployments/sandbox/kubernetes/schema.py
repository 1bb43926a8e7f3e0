"""Validate custom objects against their OpenAPI v3 schema, with the real server's wording (go-openapi/validate)."""

from __future__ import annotations

import re
from collections.abc import Callable
from datetime import datetime
from functools import cache
from typing import Any

from deployments.sandbox.kubernetes.errors import Cause, duplicate, invalid_value, not_supported, required, shown
from deployments.sandbox.kubernetes.structural import EMBEDDED, INT_OR_STRING, Schema
from deployments.sandbox.kubernetes.wire import dumps

_TYPES: dict[str, Callable[[Any], bool]] = {
    "string": lambda value: isinstance(value, str),
    "integer": lambda value: (
        not isinstance(value, bool) and (isinstance(value, int) or (isinstance(value, float) and value.is_integer()))
    ),
    "number": lambda value: isinstance(value, int | float) and not isinstance(value, bool),
    "boolean": lambda value: isinstance(value, bool),
    "object": lambda value: isinstance(value, dict),
    "array": lambda value: isinstance(value, list),
}


def validate(schema: Schema, value: Any, path: str = "") -> list[Cause]:  # noqa: PLR0911  a dispatch, one line a case
    """Everything wrong with `value`, empty when it fits."""
    if value is None:
        if schema.get("nullable") or "type" not in schema:
            return []
        return [invalid_value(path, None, f'{path} in body must be of type {schema["type"]}: "null"')]
    wrong = _check_type(schema, value, path)
    if wrong:
        return wrong
    causes = _check_enum(schema, value, path) + _combined(schema, value, path)
    if isinstance(value, str):
        return causes + _check_string(schema, value, path)
    if isinstance(value, dict):
        return causes + _check_object(schema, value, path)
    if isinstance(value, list):
        return causes + _check_list(schema, value, path)
    if isinstance(value, int | float) and not isinstance(value, bool):
        return causes + _check_number(schema, value, path)
    return causes


def _name(value: Any) -> str:
    for kind in ("boolean", "string", "object", "array", "integer", "number"):
        if _TYPES[kind](value):
            return kind
    return "null"


def _check_type(schema: Schema, value: Any, path: str) -> list[Cause]:
    if schema.get(INT_OR_STRING):
        if _TYPES["string"](value) or _TYPES["integer"](value):
            return []
        return [invalid_value(path, _name(value), f'{path} in body must be of type integer,string: "{_name(value)}"')]
    kind = schema.get("type")
    if not kind or kind not in _TYPES or _TYPES[kind](value):
        return []
    found = _name(value)
    return [Cause(path, "FieldValueTypeInvalid",
                  f'Invalid value: "{found}": {path} in body must be of type {kind}: "{found}"')]  # fmt: skip


def _check_enum(schema: Schema, value: Any, path: str) -> list[Cause]:
    allowed = schema.get("enum")
    if allowed is None or any(item == value and type(item) is type(value) for item in allowed):
        return []
    return [not_supported(path, value, [item if isinstance(item, str) else shown(item) for item in allowed])]


def _combined(schema: Schema, value: Any, path: str) -> list[Cause]:
    causes: list[Cause] = []
    for sub in schema.get("allOf") or ():
        causes += validate(sub, value, path)
    options = schema.get("anyOf")
    if options and all(validate(sub, value, path) for sub in options):
        causes.append(_rule(path, value, "must validate at least one schema (anyOf)"))
    options = schema.get("oneOf")
    if options:
        fitting = sum(not validate(sub, value, path) for sub in options)
        if fitting != 1:
            found = "none" if not fitting else "more than one"
            causes.append(_rule(path, value, f"must validate one and only one schema (oneOf). Found {found} valid"))
    if schema.get("not") is not None and not validate(schema["not"], value, path):
        causes.append(_rule(path, value, "must not validate the schema (not)"))
    return causes


def _rule(path: str, _value: Any, text: str) -> Cause:
    """The real server names no field for these, only a path in the text."""
    return Cause("<nil>", "FieldValueInvalid", f'Invalid value: "": "{path}" {text}')


@cache
def _pattern(text: str) -> re.Pattern[str] | None:
    try:
        return re.compile(text.replace(r"\z", r"\Z"))
    except re.error:
        return None  # an RE2 pattern Python does not know is not checked


def _check_string(schema: Schema, value: str, path: str) -> list[Cause]:
    causes = []
    pattern = _pattern(schema["pattern"]) if schema.get("pattern") else None
    if pattern is not None and not pattern.search(value):
        causes.append(invalid_value(path, value, f"{path} in body should match '{schema['pattern']}'"))
    if "maxLength" in schema and len(value) > schema["maxLength"]:
        limit = schema["maxLength"]
        causes.append(Cause(path, "FieldValueTooLong", f"Too long: may not be more than {limit} bytes"))
    if "minLength" in schema and len(value) < schema["minLength"]:
        causes.append(invalid_value(path, value, f"{path} in body should be at least {schema['minLength']} chars long"))
    if schema.get("format") == "date-time" and not _is_time(value):
        causes.append(invalid_value(path, value, f'{path} in body must be of type date-time: "{value}"'))
    return causes


def _is_time(value: str) -> bool:
    try:
        datetime.fromisoformat(value.replace("Z", "+00:00"))
    except ValueError:
        return False
    return True


def _check_number(schema: Schema, value: float, path: str) -> list[Cause]:
    causes = []
    low, high, step = schema.get("minimum"), schema.get("maximum"), schema.get("multipleOf")
    if low is not None and (value < low or (schema.get("exclusiveMinimum") and value == low)):
        than = "greater than" if schema.get("exclusiveMinimum") else "greater than or equal to"
        causes.append(invalid_value(path, value, f"{path} in body should be {than} {low}"))
    if high is not None and (value > high or (schema.get("exclusiveMaximum") and value == high)):
        than = "less than" if schema.get("exclusiveMaximum") else "less than or equal to"
        causes.append(invalid_value(path, value, f"{path} in body should be {than} {high}"))
    if step and value % step:
        causes.append(invalid_value(path, value, f"{path} in body should be a multiple of {step}"))
    return causes


def _check_object(schema: Schema, value: dict[str, Any], path: str) -> list[Cause]:
    causes = []
    prefix = f"{path}." if path else ""
    for name in schema.get("required") or ():
        if name not in value:
            causes.append(required(prefix + name))
    if schema.get(EMBEDDED):
        causes += [required(prefix + name) for name in ("apiVersion", "kind") if not value.get(name)]
    properties = schema.get("properties") or {}
    additional = schema.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            causes += validate(properties[name], item, prefix + name)
        elif isinstance(additional, dict):
            causes += validate(additional, item, prefix + name)
    if "maxProperties" in schema and len(value) > schema["maxProperties"]:
        text = f"{path} in body should have at most {schema['maxProperties']} properties"
        causes.append(invalid_value(path, len(value), text))
    if "minProperties" in schema and len(value) < schema["minProperties"]:
        text = f"{path} in body should have at least {schema['minProperties']} properties"
        causes.append(invalid_value(path, len(value), text))
    return causes


def _check_list(schema: Schema, value: list[Any], path: str) -> list[Cause]:
    causes = []
    items = schema.get("items")
    if isinstance(items, dict):
        for position, item in enumerate(value):
            causes += validate(items, item, f"{path}[{position}]")
    if "maxItems" in schema and len(value) > schema["maxItems"]:
        text = f"Too many: {len(value)}: must have at most {schema['maxItems']} items"
        causes.append(Cause(path, "FieldValueTooMany", text))
    if "minItems" in schema and len(value) < schema["minItems"]:
        text = f"{path} in body should have at least {schema['minItems']} items"
        causes.append(invalid_value(path, len(value), text))
    return causes + _check_unique(schema, value, path)


def _check_unique(schema: Schema, value: list[Any], path: str) -> list[Cause]:
    """Set and map lists hold no two items of one identity."""
    sort = schema.get("x-kubernetes-list-type")
    if sort not in ("set", "map"):
        return []
    keys = schema.get("x-kubernetes-list-map-keys") or ()
    properties = (schema.get("items") or {}).get("properties") or {}
    seen: set[bytes] = set()
    causes = []
    for position, item in enumerate(value):
        identity: Any = item
        if sort == "map" and isinstance(item, dict):
            identity = {key: item.get(key, properties.get(key, {}).get("default")) for key in keys}
        text = dumps(identity)
        if text in seen:
            causes.append(duplicate(f"{path}[{position}]", identity))
        seen.add(text)
    return causes
