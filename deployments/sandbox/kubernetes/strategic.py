"""Strategic merge patch (k8s.io/apimachinery/pkg/util/strategicpatch), driven by the types' merge keys."""

from __future__ import annotations

from typing import Any

from deployments.sandbox.kubernetes.errors import bad_request
from deployments.sandbox.kubernetes.types import ANY, Type

DIRECTIVE = "$patch"
RETAIN_KEYS = "$retainKeys"
DELETE_PREFIX = "$deleteFromPrimitiveList/"
ORDER_PREFIX = "$setElementOrder/"


def patch(schema: Type, original: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    """`original` after the patch; neither argument is changed.

    Raises:
        StatusError: 400, a malformed directive.
    """
    directive = changes.get(DIRECTIVE)
    if directive == "replace":
        return {key: _clean(value) for key, value in changes.items() if value is not None and not key.startswith("$")}
    if directive == "delete":
        return {}
    if directive not in (None, "merge"):
        raise bad_request(f"Unknown patch type found: {directive}")
    out = _retained(original, changes)
    orders, deletions = {}, {}
    for name, value in changes.items():
        if name.startswith(ORDER_PREFIX):
            orders[name.removeprefix(ORDER_PREFIX)] = value
        elif name.startswith(DELETE_PREFIX):
            deletions[name.removeprefix(DELETE_PREFIX)] = value
    for name, value in deletions.items():
        out[name] = [item for item in out.get(name) or [] if item not in value]
    for name, value in changes.items():
        if name.startswith("$"):
            continue
        if value is None:
            out.pop(name, None)
            continue
        out[name] = _member(schema.child(name) or ANY, out.get(name), value, orders.get(name))
    for name, order in orders.items():
        if name not in changes and isinstance(out.get(name), list):
            out[name] = _sorted(schema.child(name) or ANY, original.get(name) or [], out[name], [], order)
    return out


def _retained(original: dict[str, Any], changes: dict[str, Any]) -> dict[str, Any]:
    keep = changes.get(RETAIN_KEYS)
    if keep is None:
        return dict(original)
    if not isinstance(keep, list):
        raise bad_request("invalid patch format of retainKeys directive")
    return {key: value for key, value in original.items() if key in keep}


def _member(schema: Type, held: Any, value: Any, order: list[Any] | None) -> Any:
    if isinstance(value, dict):
        if schema.kind == "any":
            # Free-form JSON has no merge keys: maps merge, lists are replaced.
            return patch(ANY, held if isinstance(held, dict) else {}, value)
        merged: Any = patch(schema, held if isinstance(held, dict) else {}, value)
        return merged
    if isinstance(value, list):
        if schema.kind != "list" or schema.merge_key is None:
            return _clean(value)
        return _merge_list(schema, held if isinstance(held, list) else [], value, order)
    return value


def _merge_list(schema: Type, held: list[Any], changes: list[Any], order: list[Any] | None) -> list[Any]:
    if not schema.merge_key:
        out = list(held)
        out += [item for item in dict.fromkeys(changes) if item not in held]
        return _sorted(schema, held, out, changes, order)
    if any(isinstance(item, dict) and item.get(DIRECTIVE) == "replace" for item in changes):
        return [_clean(item) for item in changes if item.get(DIRECTIVE) != "replace"]
    out, key, elem = list(held), schema.merge_key, schema.elem or ANY
    for item in changes:
        if not isinstance(item, dict) or key not in item:
            raise bad_request(f"map: {item} does not contain declared merge key: {key}")
        places = [place for place, known in enumerate(out) if known.get(key) == item[key]]
        if item.get(DIRECTIVE) == "delete":
            out = [known for known in out if known.get(key) != item[key]]
        elif places:
            out[places[0]] = patch(elem, out[places[0]], item)
        else:
            out.append(patch(elem, {}, item))
    return _sorted(schema, held, out, changes, order)


def _sorted(
    schema: Type, original: list[Any], merged: list[Any], changes: list[Any], order: list[Any] | None
) -> list[Any]:
    """Items the patch names in its order, the others between them where the original list has them (best effort)."""
    key = schema.merge_key

    def identity(item: Any) -> Any:
        return item.get(key) if key and isinstance(item, dict) else item

    wanted = [identity(item) for item in (order or changes)]
    place = {identity(item): position for position, item in enumerate(original)}
    by_identity = {identity(item): item for item in merged}
    named = [by_identity[name] for name in dict.fromkeys(wanted) if name in by_identity]
    others = [item for item in merged if identity(item) not in wanted]
    out: list[Any] = []
    while named and others:
        first, second = place.get(identity(others[0])), place.get(identity(named[0]))
        before = first is not None and second is not None and first < second
        out.append((others if before else named).pop(0))
    return out + named + others


def _clean(value: Any) -> Any:
    """A value taken as a whole, less nulls and directives."""
    if isinstance(value, dict):
        return {key: _clean(item) for key, item in value.items() if item is not None and not key.startswith("$")}
    if isinstance(value, list):
        return [_clean(item) for item in value]
    return value
