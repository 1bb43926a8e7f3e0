"""Which items of two lists belong together.

Keyed lists by key, sets by value, RBAC rules by meaning; every other list in order, where what both ends have in common
is taken for the same, so that an insertion is one extra item and not a change of everything behind it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

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
    return Pairing(
        missing=[(Member(each), each) for each in declared if each not in live],
        extra=[(Member(each), each) for each in live if each not in declared],
    )


def match_rules(declared: list[Any], live: list[Any]) -> Pairing:
    """Match items in any order: first those that say the same, then what is left in order."""
    free = dict(enumerate(live))
    pairing, left = Pairing(), []
    for index, item in enumerate(declared):
        candidates = (index, *free)
        found = next((each for each in candidates if each in free and _alike(item, free[each])), None)
        if found is None:
            left.append((index, item))
        else:
            pairing.pairs.append((index, item, free.pop(found)))
    rest = list(free.items())
    for (index, item), (_, there) in zip(left, rest, strict=False):
        pairing.pairs.append((index, item, there))
    pairing.missing += left[len(rest) :]
    pairing.extra += rest[len(left) :]
    return pairing


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
