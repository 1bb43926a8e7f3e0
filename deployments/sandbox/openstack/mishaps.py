"""What goes wrong behind the APIs of load balancers and volumes: by name, on creation, deletion or detachment. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Any

ENDS = ("fail", "hang")
BALANCERS = frozenset({"create", "delete"})
VOLUMES = frozenset({"create", "delete", "detach"})
"""What can go wrong with each kind."""


class InvalidMishap(ValueError):
    """It has no meaning; the message says where."""


@dataclass(frozen=True)
class Mishap:
    """How things of one name are to go wrong; None where they are not.

    What hangs stays under way until the mishap is taken away.
    """

    create: str | None = None
    delete: str | None = None
    detach: str | None = None
    reason: str = "Injected by faults.json"


UNHARMED = Mishap()


def parse(where: str, document: Mapping[str, Any] | None, doings: frozenset[str]) -> dict[str, Mishap]:
    """Mishaps by pattern of the name (`*` and `?` stand for anything).

    Raises:
        InvalidMishap: with the place that is wrong.
    """
    found = {}
    for pattern, raw in (document or {}).items():
        unknown = sorted(raw.keys() - doings - {"reason"})
        if unknown:
            raise InvalidMishap(f"{where}.{pattern} has unknown fields: {', '.join(unknown)}.")
        given = {key: value for key, value in raw.items() if value is not None}
        for doing in doings & given.keys():
            if given[doing] not in ENDS:
                raise InvalidMishap(f"{where}.{pattern}.{doing} is {given[doing]!r}, not one of {', '.join(ENDS)}.")
        found[pattern] = Mishap(**given)
    return found


def of(mishaps: Mapping[str, Mishap], name: str) -> Mishap:
    """What is to befall the thing of this name: the first pattern that matches says."""
    return next((mishap for pattern, mishap in mishaps.items() if fnmatchcase(name, pattern)), UNHARMED)
