"""JSON patch (RFC 6902) and JSON merge patch (RFC 7386)."""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes.errors import StatusError, bad_request
from deployments.sandbox.kubernetes.wire import copy

JSON_PATCH = "application/json-patch+json"
MERGE_PATCH = "application/merge-patch+json"
STRATEGIC_PATCH = "application/strategic-merge-patch+json"
APPLY_PATCH = "application/apply-patch+yaml"


def merge_patch(original: Any, changes: Any) -> Any:
    """`original` after an RFC 7386 merge patch."""
    if not isinstance(changes, dict):
        return changes
    out = dict(original) if isinstance(original, dict) else {}
    for key, value in changes.items():
        if value is None:
            out.pop(key, None)
        else:
            out[key] = merge_patch(out.get(key), value)
    return out


def json_patch(original: Any, operations: Any) -> Any:
    """`original` after an RFC 6902 patch.

    Raises:
        StatusError: 400 for a malformed patch, 422 when a path or test does not hold.
    """
    if not isinstance(operations, list):
        raise bad_request("json: cannot unmarshal object into Go value of type jsonpatch.Patch")
    document = copy(original)
    for operation in operations:
        document = _step(document, operation)
    return document


def _step(document: Any, operation: dict[str, Any]) -> Any:
    name = operation.get("op")
    path = _pointer(operation.get("path", ""))
    if name == "test":
        if _get(document, path) != operation.get("value"):
            raise _failed(f"testing value {operation['path']} failed")
        return document
    if name in ("move", "copy"):
        source = _pointer(operation.get("from", ""))
        value = copy(_get(document, source))
        if name == "move":
            document = _remove(document, source)
        return _add(document, path, value)
    if name == "remove":
        return _remove(document, path)
    if name == "replace":
        _get(document, path)
        return operation["value"] if not path else _set(document, path, copy(operation.get("value")))
    if name == "add":
        return _add(document, path, copy(operation.get("value")))
    raise bad_request(f"Unexpected kind: {name}")


def _pointer(text: str) -> list[str]:
    if not text:
        return []
    if not text.startswith("/"):
        raise bad_request(f"invalid JSON pointer: {text}")
    return [part.replace("~1", "/").replace("~0", "~") for part in text[1:].split("/")]


def _get(document: Any, path: list[str]) -> Any:
    for part in path:
        if isinstance(document, dict) and part in document:
            document = document[part]
        elif isinstance(document, list) and part.isdigit() and int(part) < len(document):
            document = document[int(part)]
        else:
            raise _missing(path)
    return document


def _set(document: Any, path: list[str], value: Any) -> Any:
    holder = _get(document, path[:-1])
    holder[int(path[-1]) if isinstance(holder, list) else path[-1]] = value
    return document


def _add(document: Any, path: list[str], value: Any) -> Any:
    if not path:
        return value
    holder = _get(document, path[:-1])
    if isinstance(holder, list):
        place = len(holder) if path[-1] == "-" else int(path[-1]) if path[-1].isdigit() else -1
        if not 0 <= place <= len(holder):
            raise _failed(f'add operation does not apply: doc is missing path: "/{"/".join(path)}": missing value')
        holder.insert(place, value)
    elif isinstance(holder, dict):
        holder[path[-1]] = value
    else:
        raise _missing(path)
    return document


def _remove(document: Any, path: list[str]) -> Any:
    _get(document, path)
    holder = _get(document, path[:-1])
    if isinstance(holder, list):
        del holder[int(path[-1])]
    else:
        del holder[path[-1]]
    return document


def _missing(path: list[str]) -> StatusError:
    return _failed(f"doc is missing path: /{'/'.join(path)}")


def _failed(_why: str) -> StatusError:
    """422. The real server keeps the reason to itself, and so do we: clients see the same text from both."""
    return StatusError(422, "Invalid", "the server rejected our request due to an error in our request", {})
