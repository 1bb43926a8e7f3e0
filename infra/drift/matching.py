"""Which items of two lists belong together.

Keyed lists by key, sets by value, RBAC rules by meaning; every other list in order, where what both ends have in common
is taken for the same, so that an insertion is one extra item and not a change of everything behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import orjson

from infra.drift.paths import Item, Member, Step, key_of
from infra.drift.subset import item_covers


@dataclass
class Pairing:
    """Pairs, what only the declaration has, and what only the live list has; each with the step that leads there."""

    pairs: list[tuple[Step, Any, Any]] = field(default_factory=list)
    missing: list[tuple[Step, Any]] = field(default_factory=list)
    extra: list[tuple[Step, Any]] = field(default_factory=list)


def by_key(declared: list[Any], live: list[Any], fields: Sequence[str]) -> Pairing | None:
    """Match by key fields; None where an item lacks one, or two have the same."""
    left, right = _index(declared, fields), _index(live, fields)
    if left is None or right is None:
        return None
    return Pairing(
        [(key, item, right[key]) for key, item in left.items() if key in right],
        [(key, item) for key, item in left.items() if key not in right],
        [(key, item) for key, item in right.items() if key not in left],
    )


def last_of_each(items: list[Any], fields: Sequence[str]) -> list[Any]:
    """The last of those items that have the same key: of a variable that is set twice, it is the one that counts."""
    return list({key_of(item, fields): item for item in items}.values())


def _index(items: list[Any], fields: Sequence[str]) -> dict[Item, Any] | None:
    found: dict[Item, Any] = {}
    for item in items:
        key = key_of(item, fields)
        if key is None or key in found:
            return None
        found[key] = item
    return found


def match_members(declared: list[Any], live: list[Any]) -> Pairing:
    """Match scalars by value."""
    wanted, there = frozenset(declared), frozenset(live)
    return Pairing(
        missing=[(Member(each), each) for each in declared if each not in there],
        extra=[(Member(each), each) for each in live if each not in wanted],
    )


def match_rules(declared: list[Any], live: list[Any]) -> Pairing:
    """Match items in any order: first those that say the same, then what is left in order."""
    pairing = Pairing()
    left, free = _same_place(dict(enumerate(declared)), dict(enumerate(live)), pairing)
    left, free = _same_text(left, free, pairing)
    if len(left) * len(free) <= _MOST_TRIED:
        left = _same_meaning(left, free, pairing)
    rest = list(free.items())
    for (index, item), (_, there) in zip(left.items(), rest, strict=False):
        pairing.pairs.append((index, item, there))
    pairing.pairs.sort(key=lambda pair: pair[0])  # findings come in the order of the object
    pairing.missing += list(left.items())[len(rest) :]
    pairing.extra += rest[len(left) :]
    return pairing


_MOST_TRIED: Final = 100_000
"""Pairs that are tried one by one; with more of them, what neither place nor text says is paired in order."""
Items = dict[int, Any]


def _same_place(declared: Items, live: Items, pairing: Pairing) -> tuple[Items, Items]:
    """Pair what says the same at the same index."""
    alike = {index for index, item in declared.items() if index in live and _alike(item, live[index])}
    pairing.pairs += [(index, declared[index], live[index]) for index in sorted(alike)]
    left, free = ({index: item for index, item in side.items() if index not in alike} for side in (declared, live))
    return left, free


def _same_text(declared: Items, live: Items, pairing: Pairing) -> tuple[Items, Items]:
    """Pair what is the same to the letter but for the order of scalars; what is left of both."""
    by_text: dict[bytes, list[int]] = {}
    for index, item in reversed(live.items()):
        by_text.setdefault(_text(item), []).append(index)
    left, free = {}, dict(live)
    for index, item in declared.items():
        found = by_text.get(_text(item))
        if found:
            pairing.pairs.append((index, item, free.pop(found.pop())))
        else:
            left[index] = item
    return left, free


def _same_meaning(declared: Items, free: Items, pairing: Pairing) -> Items:
    """Pair what says the same, one by one; what is left of the declared ones."""
    left = {}
    for index, item in declared.items():
        found = next((each for each, there in free.items() if _alike(item, there)), None)
        if found is None:
            left[index] = item
        else:
            pairing.pairs.append((index, item, free.pop(found)))
    return left


def _text(item: Any) -> bytes:
    """An item as text, lists of scalars sorted."""
    plain = item
    if isinstance(item, dict):
        plain = {key: sorted(map(str, value)) if isinstance(value, list) else value for key, value in item.items()}
    return orjson.dumps(plain, option=orjson.OPT_SORT_KEYS)


def align(declared: list[Any], live: list[Any]) -> Pairing:
    """Match in order: the common beginning, the common end, and what is between one by one."""
    if len(declared) == len(live):
        return Pairing([(index, *pair) for index, pair in enumerate(zip(declared, live, strict=True))])
    shorter = min(len(declared), len(live))
    start = next((index for index in range(shorter) if not _alike(declared[index], live[index])), shorter)
    rest = shorter - start
    end = next((index for index in range(rest) if not _alike(declared[-1 - index], live[-1 - index])), rest)
    middle, there = declared[start : len(declared) - end], live[start : len(live) - end]
    common = min(len(middle), len(there))
    pairing = Pairing([(index, declared[index], live[index]) for index in range(start + common)])
    pairing.missing = [(start + index, middle[index]) for index in range(common, len(middle))]
    pairing.extra = [(start + index, there[index]) for index in range(common, len(there))]
    # Both indices cannot stand in one path: the declared one does, by which a dry run's answer is read.
    tail = zip(declared[len(declared) - end :], live[len(live) - end :], strict=True)
    pairing.pairs += [(len(declared) - end + index, *pair) for index, pair in enumerate(tail)]
    return pairing


def _alike(declared: Any, live: Any) -> bool:
    return item_covers(declared, live)
