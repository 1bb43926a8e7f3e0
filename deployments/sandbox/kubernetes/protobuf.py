"""The little protobuf the clients insist on: request bodies of some kinds, and the OpenAPI document.

kubectl's typed commands (`create namespace`, `auth can-i`) send `application/vnd.kubernetes.protobuf`: four
magic bytes, then a runtime.Unknown {typeMeta, raw}. Field numbers: k8s.io/api/**/generated.proto. Answers may be JSON.
"""

from __future__ import annotations

import base64
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import cache
from typing import Any

from deployments.sandbox.kubernetes.errors import unsupported_media_type
from deployments.sandbox.kubernetes.types import DATA
from deployments.sandbox.kubernetes.wire import loads

MAGIC = b"k8s\x00"
MEDIA_TYPE = "application/vnd.kubernetes.protobuf"
Object = dict[str, Any]


def fields(data: bytes) -> Iterator[tuple[int, int, Any]]:
    """Field number, wire type and value of each field of a message."""
    position = 0
    while position < len(data):
        key, position = _varint(data, position)
        number, wire = key >> 3, key & 7
        if wire == 0:
            value: Any
            value, position = _varint(data, position)
        elif wire == 2:
            size, position = _varint(data, position)
            value, position = data[position : position + size], position + size
        elif wire in (1, 5):
            size = 8 if wire == 1 else 4
            value, position = data[position : position + size], position + size
        else:
            raise ValueError(f"protobuf wire type {wire}")
        yield number, wire, value


def _varint(data: bytes, position: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[position]
        position += 1
        value |= (byte & 0x7F) << shift
        if not byte & 0x80:
            return value, position
        shift += 7


@cache
def _messages() -> dict[str, dict[str, list[str]]]:
    """`{"ObjectMeta": {"1": ["name", "string"], ...}}`; a type may be `repeated X`, `map X`, a scalar or a message."""
    parsed: dict[str, dict[str, list[str]]] = loads((DATA / "protobuf.json").read_bytes())
    return parsed


def decode_body(body: bytes) -> Object:
    """A request body as a JSON object.

    Raises:
        StatusError: 415, a kind whose fields we do not know.
    """
    if not body.startswith(MAGIC):
        raise unsupported_media_type("application/json, application/yaml")
    parts = {number: value for number, _, value in fields(body[len(MAGIC) :])}
    meta = {number: value.decode() for number, _, value in fields(parts.get(1, b""))}
    kind = meta.get(2, "")
    if kind not in _messages():
        raise unsupported_media_type("application/json, application/yaml")
    return {"apiVersion": meta.get(1, ""), "kind": kind, **_message(kind, parts.get(2, b""))}


def _message(name: str, data: bytes) -> Object:
    known, out = _messages()[name], Object()
    for number, _, value in fields(data):
        field = known.get(str(number))
        if field is None:
            continue
        key, sort = field
        if sort.startswith("repeated "):
            out.setdefault(key, []).append(_value(sort.removeprefix("repeated "), value))
        elif sort.startswith("map "):
            entry = {number: item for number, _, item in fields(value)}
            out.setdefault(key, {})[entry.get(1, b"").decode()] = _value(sort.removeprefix("map "), entry.get(2, b""))
        else:
            out[key] = _value(sort, value)
    return out


def _value(sort: str, value: Any) -> Any:  # noqa: PLR0911  one line per sort reads best
    if sort == "string":
        return value.decode()
    if sort == "bytes":
        return base64.b64encode(value).decode()
    if sort == "bool":
        return bool(value)
    if sort == "int":
        return value - (1 << 64) if value >> 63 else value
    if sort == "quantity":
        return {number: item for number, _, item in fields(value)}.get(1, b"0").decode()
    if sort == "time":
        seconds = {number: item for number, _, item in fields(value)}.get(1)
        return None if seconds is None else datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")
    if sort == "int-or-string":
        parts = {number: item for number, _, item in fields(value)}
        return parts[3].decode() if parts.get(1) else _value("int", parts.get(2, 0))
    return _message(sort, value)


def encode(parts: list[tuple[int, bytes | str | int]]) -> bytes:
    """A message from field numbers and values."""
    out = b""
    for number, value in parts:
        if isinstance(value, int):
            out += _to_varint(number << 3) + _to_varint(value)
        else:
            raw = value.encode() if isinstance(value, str) else value
            out += _to_varint(number << 3 | 2) + _to_varint(len(raw)) + raw
    return out


def _to_varint(value: int) -> bytes:
    out = b""
    while value > 0x7F:
        out += bytes([value & 0x7F | 0x80])
        value >>= 7
    return out + bytes([value])
