"""Typed comparison and merging for server-side apply (structured-merge-diff v4, `typed` package).

All functions are pure and work on an object and its `Type`. Absent values are the sentinel `MISSING`, because null and
absent differ: an item that was absent is itself "added", one that was null is not.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from deployments.sandbox.kubernetes.fieldset import FieldSet, Path
from deployments.sandbox.kubernetes.types import ANY, Type


class _Missing:
    def __repr__(self) -> str:
        return "MISSING"

    def __bool__(self) -> bool:
        return False


MISSING: Final = _Missing()


@dataclass
class Comparison:
    """What differs between two objects."""

    added: FieldSet = field(default_factory=FieldSet)
    modified: FieldSet = field(default_factory=FieldSet)
    removed: FieldSet = field(default_factory=FieldSet)

    def same(self) -> bool:
        return self.added.empty() and self.modified.empty() and self.removed.empty()


def key_text(value: Any) -> str:
    """JSON with sorted keys, as path elements hold it."""
    return orjson.dumps(value, option=orjson.OPT_SORT_KEYS).decode()


def item_element(schema: Type, item: Any) -> str:
    """The path element of a list item: its keys, or its value in a set."""
    if schema.list_type == "set" or not isinstance(item, dict):
        return "v:" + key_text(item)
    keys = {key: item.get(key, schema.key_defaults.get(key)) for key in schema.keys}
    return "k:" + key_text({key: value for key, value in keys.items() if value is not None})


def _granular(schema: Type, value: Any) -> bool:
    """Whether members of `value` are owned one by one."""
    if schema.kind == "list":
        return schema.list_type != "atomic" and isinstance(value, list)
    if schema.kind in ("struct", "map"):
        return not schema.atomic and isinstance(value, dict)
    return schema.kind == "any" and not schema.atomic and isinstance(value, dict)


def _members(schema: Type, value: Any) -> Iterator[tuple[str, Type, Any]]:
    """Path element, type and value of each member of a granular value."""
    if isinstance(value, dict):
        for name, item in value.items():
            yield f"f:{name}", schema.child(name) or ANY, item
    elif isinstance(value, list):
        elem = schema.elem or ANY
        for item in value:
            yield item_element(schema, item), elem, item


def to_fieldset(schema: Type, value: Any) -> FieldSet:
    """The fields that applying `value` owns."""
    out = FieldSet()
    _collect(schema, value, (), out)
    return out


def _collect(schema: Type, value: Any, path: Path, out: FieldSet) -> None:
    if not _granular(schema, value) or not value:
        if path:
            out.insert(path)
        return
    for element, child, item in _members(schema, value):
        below = (*path, element)
        named = schema.kind == "struct" and element[2:] in schema.fields
        if isinstance(value, list) or item is None or item == {} or not named:
            out.insert(below)
        _collect(child, item, below, out)


def compare(schema: Type, old: Any, new: Any) -> Comparison:
    """What changed from `old` to `new`."""
    out = Comparison()
    _compare(schema, old, new, (), out)
    return out


def _compare(schema: Type, old: Any, new: Any, path: Path, out: Comparison) -> None:
    shape = new if new is not None and new is not MISSING else old
    mixed = type(old) is not type(new) and old not in (None, MISSING) and new not in (None, MISSING)
    if not _granular(schema, shape) or mixed or (not old and not new):
        if path:
            _compare_leaf(old, new, path, out)
        return
    before = {element: (child, item) for element, child, item in _members(schema, old or {})}
    after = {element: (child, item) for element, child, item in _members(schema, new or {})}
    for element in before.keys() | after.keys():
        child = (after.get(element) or before[element])[0]
        left = before[element][1] if element in before else MISSING
        right = after[element][1] if element in after else MISSING
        _compare(child, left, right, (*path, element), out)
    if path and old is MISSING:
        out.added.insert(path)
    elif path and new is MISSING:
        out.removed.insert(path)


def _compare_leaf(old: Any, new: Any, path: Path, out: Comparison) -> None:
    if old is MISSING:
        out.added.insert(path)
    elif new is MISSING:
        out.removed.insert(path)
    elif old != new or isinstance(old, bool) != isinstance(new, bool):
        out.modified.insert(path)


def merge(schema: Type, live: Any, config: Any) -> Any:
    """`live` with what `config` says laid over it."""
    if config is MISSING:
        return live
    if live is MISSING or not _granular(schema, config) or type(live) is not type(config):
        return config
    if isinstance(config, dict):
        out = dict(live)
        for name, item in config.items():
            out[name] = merge(schema.child(name) or ANY, live.get(name, MISSING), item)
        return out
    return _merge_list(schema, live, config)


def _merge_list(schema: Type, live: list[Any], config: list[Any]) -> list[Any]:
    """Items by key: the applied order for shared items, items only in `live` stay near their place."""
    elem = schema.elem or ANY
    held = {item_element(schema, item): item for item in live}
    wanted = {item_element(schema, item): item for item in config}
    left, right, out, done = list(held), list(wanted), [], set()
    while left or right:
        if left and (left[0] in done or left[0] not in wanted):
            key = left.pop(0)
            if key not in done:
                out.append(held[key])
        elif right:
            key = right.pop(0)
            done.add(key)
            out.append(merge(elem, held.get(key, MISSING), wanted[key]))
            if left and left[0] == key:
                left.pop(0)
        else:
            left.pop(0)
    return out


def remove(schema: Type, value: Any, candidates: FieldSet, protected: FieldSet) -> Any:
    """`value` less the `candidates` (and what lies above them) that nobody protects.

    A container goes as a whole when it is named by `candidates` and nothing in it is `protected`.
    """
    if not _granular(schema, value):
        return value
    kept: list[tuple[str, Any]] = []
    for element, child, item in _members(schema, value):
        if candidates.touches(element) and not protected.touches(element):
            continue
        below = candidates.children.get(element)
        if below is not None:
            item = remove(child, item, below, protected.children.get(element, FieldSet()))  # noqa: PLW2901
        kept.append((element, item))
    if isinstance(value, dict):
        return {element[2:]: item for element, item in kept}
    return [item for _, item in kept]
