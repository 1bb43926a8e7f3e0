"""Decode built-in objects as the real server's Go structs would: unknown fields, zero values and nulls fall away.

What Go does and this repeats: an unknown field is dropped (and reported under `fieldValidation`); null means absent;
an optional non-pointer scalar,
list or map with its zero value is not written back (`omitempty`); a struct that is not a
pointer always is (`status: {}`, `resources: {}`); quantities and times take their canonical form.
"""

from __future__ import annotations

import base64
import binascii
import math
import re
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from deployments.sandbox.kubernetes import quantity
from deployments.sandbox.kubernetes.types import Type

_ZERO = {"string": "", "integer": 0, "number": 0, "boolean": False, "quantity": "0", "bytes": ""}
_TIME = re.compile(r"^\d{4}-\d\d-\d\d[Tt]\d\d:\d\d:\d\d(\.\d+)?([Zz]|[+-]\d\d:\d\d)$")


class DecodeError(ValueError):
    """The body does not fit the type; the message says where."""


@dataclass(slots=True)
class Report:
    """What decoding noticed: unknown fields, as paths."""

    unknown: list[str] = field(default_factory=list)


def decode(schema: Type, value: Any, report: Report | None = None, path: str = "") -> Any:
    """`value` in the wire form of `schema`.

    Raises:
        DecodeError: a value has the wrong JSON type.
    """
    kind = schema.kind
    if kind == "struct":
        return _struct(schema, value, report or Report(), path)
    if kind == "map":
        if not isinstance(value, dict):
            raise DecodeError(_mismatch(value, path, "map"))
        elem = schema.elem or Type("any")
        return {
            key: _null_element(elem) if item is None else decode(elem, item, report, f"{path}.{key}")
            for key, item in value.items()
        }
    if kind == "list":
        if not isinstance(value, list):
            raise DecodeError(_mismatch(value, path, "slice"))
        elem = schema.elem or Type("any")
        return [
            _null_element(elem) if item is None else decode(elem, item, report, f"{path}[{position}]")
            for position, item in enumerate(value)
        ]
    return value if kind == "any" else scalar(kind, value, path)


def _struct(schema: Type, value: Any, report: Report, path: str) -> dict[str, Any]:
    if not isinstance(value, dict):
        raise DecodeError(_mismatch(value, path, schema.name or "struct"))
    out: dict[str, Any] = {}
    for name, item in value.items():
        child = schema.fields.get(name)
        if child is None:
            if schema.open:
                out[name] = item
            else:
                report.unknown.append(f"{path}.{name}".lstrip("."))
            continue
        if item is None:
            continue
        decoded = decode(child, item, report, f"{path}.{name}")
        if _kept(schema, name, child, decoded):
            out[name] = decoded
    _fill(schema, out, report, path)
    return out


def _kept(schema: Type, name: str, child: Type, decoded: Any) -> bool:
    """Whether Go would write this value: everything but an optional non-pointer's zero."""
    if name in schema.required or name in schema.pointers or name in schema.always:
        return True
    if child.kind in ("list", "map"):
        return bool(decoded)
    if child.kind in _ZERO and child.kind != "quantity":
        return bool(decoded != _ZERO[child.kind])
    return True


def _fill(schema: Type, out: dict[str, Any], report: Report, path: str) -> None:
    """Write what a Go struct writes even when nobody set it."""
    for name in schema.required:
        if name not in out and name not in schema.always and name in schema.fields:
            child = schema.fields[name]
            if child.kind == "struct":
                out[name] = _struct(child, {}, report, f"{path}.{name}")
            elif child.kind != "any":
                out[name] = _ZERO.get(child.kind)
    for name, empty in schema.always.items():
        if name not in out:
            out[name] = _struct(schema.fields[name], {}, report, f"{path}.{name}") if empty == {} else empty


def zero(schema: Type) -> Any:
    """What an object of this type looks like before anybody set a field."""
    return _struct(schema, {}, Report(), "")


def _null_element(elem: Type) -> Any:
    return zero(elem) if elem.kind == "struct" else _ZERO.get(elem.kind)


def scalar(kind: str, value: Any, path: str) -> Any:  # noqa: PLR0911  one line per scalar reads best
    """One scalar in canonical form; see `decode`."""
    if kind == "string":
        if isinstance(value, str):
            return value
        raise DecodeError(_mismatch(value, path, "string"))
    if kind == "boolean":
        if isinstance(value, bool):
            return value
        raise DecodeError(_mismatch(value, path, "bool"))
    if kind == "integer":
        return _integer(value, path)
    if kind == "number":
        if isinstance(value, int | float) and not isinstance(value, bool):
            return value
        raise DecodeError(_mismatch(value, path, "float64"))
    if kind == "quantity":
        try:
            return quantity.canonical(value)
        except ValueError as error:
            raise DecodeError(f"unable to parse quantity at {path.lstrip('.')}: {error}") from error
    if kind == "int-or-string":
        if isinstance(value, str):
            return value
        return _integer(value, path)
    if kind in ("time", "microtime"):
        return timestamp(value, path, micro=kind == "microtime")
    return _base64(value, path)


def _integer(value: Any, path: str) -> int:
    if isinstance(value, bool) or not isinstance(value, int | float) or not float(value).is_integer():
        raise DecodeError(_mismatch(value, path, "int32"))
    return int(value)


def timestamp(value: Any, path: str, *, micro: bool = False) -> str:
    """A time in UTC, to the second (or microsecond), as metav1.Time writes it."""
    if not isinstance(value, str) or not _TIME.match(value):
        shown = f'"{value}"' if isinstance(value, str) else value
        raise DecodeError(f'parsing time {shown} as "2006-01-02T15:04:05Z07:00": cannot parse ({path.lstrip(".")})')
    try:
        moment = datetime.fromisoformat(value.upper().replace("Z", "+00:00")).astimezone(UTC)
    except ValueError as error:
        raise DecodeError(f"parsing time at {path.lstrip('.')}: {error}") from error
    return moment.strftime("%Y-%m-%dT%H:%M:%S.%fZ" if micro else "%Y-%m-%dT%H:%M:%SZ")


def _base64(value: Any, path: str) -> str:
    if not isinstance(value, str):
        raise DecodeError(_mismatch(value, path, "[]uint8"))
    try:
        compact = value.replace("\n", "").replace("\r", "")
        return base64.b64encode(base64.b64decode(compact, validate=True)).decode()
    except (binascii.Error, ValueError) as error:
        raise DecodeError(f"illegal base64 data at {path.lstrip('.')}: {error}") from error


def _mismatch(value: Any, path: str, wanted: str) -> str:
    names = {dict: "object", list: "array", str: "string", bool: "bool", int: "number", float: "number"}
    found = "number" if isinstance(value, float) and math.isfinite(value) else names.get(type(value), "null")
    return f"json: cannot unmarshal {found} into Go struct field {path.lstrip('.')} of type {wanted}"
