"""Where the order of a keyed list's items says something: what starts first, and which variables another one sees."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from typing import Any, Final

ORDERED: Final = frozenset({"initContainers"})
"""Lists whose items are taken one after the other."""

_REFERENCE: Final = re.compile(r"\$\(([^)]+)\)")


def reordered(name: str, declared: Sequence[Any], live: Sequence[Any]) -> tuple[list[str], list[str]] | None:
    """The names of the items in both orders, where the order is another one and says something; None otherwise.

    A variable sees those before it (`$(NAME)`), and no other.

    Args:
        name: of the list.
        declared, live: its items, those that are on both sides.
    """
    if name not in ORDERED and name != "env":
        return None
    orders = [[str(each.get("name")) for each in side] for side in (declared, live)]
    if orders[0] == orders[1]:
        return None
    if name == "env" and set(_seen(declared)) == set(_seen(live)):
        return None
    return orders[0], orders[1]


def _seen(items: Sequence[Any]) -> Iterator[tuple[Any, str]]:
    """Which variable sees which other one."""
    before: set[Any] = set()
    for each in items:
        value = each.get("value")
        if isinstance(value, str) and "$(" in value:
            yield from ((each.get("name"), found) for found in _REFERENCE.findall(value) if found in before)
        before.add(each.get("name"))
