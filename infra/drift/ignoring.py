"""Fields that the catalogue tells us to leave alone: taken out of both sides before anything is compared."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Protocol

from infra.drift.paths import pointer

Pointer = tuple[str, ...]


class IgnoreRule(Protocol):
    """What infra.catalog's `Ignore` says: JSON pointers into the objects of a kind, `*` for every key or item."""

    @property
    def kind(self) -> str:
        """Kind of the objects."""

    @property
    def name(self) -> str | None:
        """Name of the one object; every object of the kind where None."""

    @property
    def paths(self) -> Sequence[str]:
        """JSON pointers."""


class Ignores:
    """The rules of one release, by kind."""

    def __init__(self, rules: Iterable[IgnoreRule] = ()) -> None:
        self._rules: dict[str, list[tuple[str | None, tuple[Pointer, ...]]]] = {}
        for rule in rules:
            pointers = tuple(map(pointer, rule.paths))
            self._rules.setdefault(rule.kind, []).append((rule.name, pointers))

    def of(self, declared: Mapping[str, Any]) -> tuple[Pointer, ...]:
        """The pointers that hold for an object."""
        rules = self._rules.get(declared["kind"])
        if not rules:
            return ()
        name = declared["metadata"]["name"]
        return tuple(each for wanted, pointers in rules if wanted in (None, name) for each in pointers)


def without(item: Any, pointers: Iterable[Pointer]) -> Any:
    """`item` less what the pointers lead to; what is not touched is shared with it.

    A map that is empty afterwards goes, too: the other side need not have it at all.
    """
    for each in pointers:
        item = _without(item, each)
    return item


def _without(item: Any, segments: Pointer) -> Any:
    first, rest = segments[0], segments[1:]
    if isinstance(item, dict):
        keys = [first] if first in item else list(item) if first == "*" else []
        if not keys:
            return item
        kept = {key: value for key, value in item.items() if key not in keys}
        if rest:
            # In the order they had: findings come in the order of the object.
            changed = {key: _without(value, rest) if key in keys else value for key, value in item.items()}
            kept = {key: value for key, value in changed.items() if value != {} or item[key] == {}}
        return kept
    if isinstance(item, list):
        chosen = range(len(item)) if first == "*" else [int(first)] if first.isdigit() else []
        if rest:
            return [_without(each, rest) if index in chosen else each for index, each in enumerate(item)]
        return [each for index, each in enumerate(item) if index not in chosen]
    return item
