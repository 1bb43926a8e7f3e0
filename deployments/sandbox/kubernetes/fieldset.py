"""Sets of fields, as server-side apply reckons with them (structured-merge-diff's fieldpath.Set).

A set is a trie: path elements (`f:spec`, `k:{"name":"c"}`, `v:"x"`) lead to subsets, and some elements are members.
`to_json`/`from_json` is the `fieldsV1` form, where a leaf is `{}` and a member with children holds `".": {}`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from deployments.sandbox.kubernetes.wire import loads

Path = tuple[str, ...]


class FieldSet:
    """A set of field paths; methods that combine return new sets."""

    __slots__ = ("children", "members")

    def __init__(self, members: set[str] | None = None, children: dict[str, FieldSet] | None = None) -> None:
        self.members: set[str] = members if members is not None else set()
        self.children: dict[str, FieldSet] = children if children is not None else {}

    @classmethod
    def from_json(cls, fields: dict[str, Any]) -> FieldSet:
        out = cls()
        for key, value in fields.items():
            if key == ".":
                continue
            if not value or "." in value:
                out.members.add(key)
            child = cls.from_json(value or {})
            if not child.empty():
                out.children[key] = child
        return out

    def to_json(self) -> dict[str, Any]:
        out: dict[str, Any] = {}
        for key in sorted(self.members | self.children.keys()):
            child = self.children.get(key)
            if child is None or child.empty():
                out[key] = {}
            else:
                out[key] = ({".": {}} if key in self.members else {}) | child.to_json()
        return out

    def insert(self, path: Path) -> None:
        node = self
        for element in path[:-1]:
            node = node.children.setdefault(element, FieldSet())
        node.members.add(path[-1])

    def empty(self) -> bool:
        return not self.members and all(child.empty() for child in self.children.values())

    def __eq__(self, other: object) -> bool:
        return isinstance(other, FieldSet) and self.to_json() == other.to_json()

    __hash__ = None  # type: ignore[assignment]

    def union(self, other: FieldSet) -> FieldSet:
        children = {key: child.union(FieldSet()) for key, child in self.children.items()}
        for key, child in other.children.items():
            children[key] = children[key].union(child) if key in children else child.union(FieldSet())
        return FieldSet(self.members | other.members, children)

    def difference(self, other: FieldSet) -> FieldSet:
        children = {}
        for key, child in self.children.items():
            kept = child.difference(other.children[key]) if key in other.children else child
            if not kept.empty():
                children[key] = kept
        return FieldSet(self.members - other.members, children)

    def intersection(self, other: FieldSet) -> FieldSet:
        children = {}
        for key in self.children.keys() & other.children.keys():
            kept = self.children[key].intersection(other.children[key])
            if not kept.empty():
                children[key] = kept
        return FieldSet(self.members & other.members, children)

    def without(self, elements: dict[str, Any]) -> FieldSet:
        """This set less whole subtrees: `{"f:status": None, "f:metadata": {"f:uid": None}}`."""
        members, children = set(self.members), dict(self.children)
        for key, below in elements.items():
            if below is None:
                members.discard(key)
                children.pop(key, None)
            elif key in children:
                children[key] = children[key].without(below)
                if children[key].empty():
                    del children[key]
            if below is not None and "." in below:
                members.discard(key)
        return FieldSet(members, children)

    def touches(self, element: str) -> bool:
        """Whether anything at or below `element` is in the set."""
        child = self.children.get(element)
        return element in self.members or (child is not None and not child.empty())

    def paths(self, prefix: Path = ()) -> Iterator[Path]:
        """Every member's path, in order."""
        for key in sorted(self.members | self.children.keys()):
            if key in self.members:
                yield (*prefix, key)
            if key in self.children:
                yield from self.children[key].paths((*prefix, key))


_PLAIN = re.compile(r"^[^.\[\]\s]+$")


def show(path: Path) -> str:
    """A path as conflicts print it: `.spec.template.spec.containers[name="c"].image`."""
    out = ""
    for element in path:
        sort, _, text = element.partition(":")
        if sort == "f":
            out += f".{text}"
        elif sort == "k":
            keys = loads(text)
            out += "[" + ",".join(f"{key}={_quoted(keys[key])}" for key in sorted(keys)) + "]"
        elif sort == "v":
            out += f"[={_quoted(loads(text))}]"
        else:
            out += f"[{text}]"
    return out


def _quoted(value: Any) -> str:
    return f'"{value}"' if isinstance(value, str) else str(value)
