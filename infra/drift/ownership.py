"""Who wrote which field of a live object, from its managedFields (server-side apply's book-keeping).

A manager's fields are a trie: `f:name` for a field, `k:{…}` for the item of a keyed list, `v:…` for a member of a set,
`.` for the thing itself. What the API server defaults while it serves a request counts as written by the request's
manager, so that helm owns the defaults of what it created.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from enum import Enum
from typing import Any, Final

import orjson

from infra.drift.findings import Changed
from infra.drift.managers import MANAGERS, MAY_OVERRIDE, Managers, at_keyboard, of_status
from infra.drift.paths import Item, Member, Path, Step

Fields = Mapping[str, Any]


class Trust(Enum):
    """What a manager's writing a field means."""

    OURS = "ours"
    """helm and Plumbline: what they wrote beside what is declared now are defaults."""
    CONTROLLER = "controller"
    """A program of the cluster that does its work."""
    PERSON = "person"
    """Somebody at a keyboard, or a program nobody told us of."""
    FOUNDER = "founder"
    """A person who created the object: what the cluster allots at birth is in this name as well."""
    UNKNOWN = "unknown"
    """Whoever wrote it before anybody kept books: defaults and edits look the same."""


_UNKNOWN_ORIGIN: Final = "before-first-apply"
"""Kubernetes' name for whoever wrote an object before anybody kept books."""

_BIRTH: Final = timedelta(seconds=2)
_PEOPLE: Final = frozenset({Trust.PERSON, Trust.FOUNDER})


@dataclass(frozen=True)
class Entry:
    """One manager's fields, as of its last write."""

    manager: str
    operation: str
    time: str
    subresource: str
    fields: Fields = field(repr=False)
    trust: Trust

    def changed(self) -> Changed:
        """Who, when and how, for a finding."""
        how = f"{self.operation} of {self.subresource}" if self.subresource else self.operation
        return Changed(who=self.manager, when=_moment(self.time), how=how or None)


class Owners:
    """The managers of one live object.

    Attributes:
        entries: every manager, the latest write last.
        persons: the fields of those who are neither ours nor the cluster's.
        unclear: whether fields may have been written before anybody kept books.
    """

    def __init__(self, live: Mapping[str, Any], managers: Managers = MANAGERS) -> None:
        metadata = live.get("metadata") or {}
        born = metadata.get("creationTimestamp") or ""
        raw = [each for each in metadata.get("managedFields") or () if each.get("fieldsV1")]
        # Who wrote after one of us did not create it. Of times, there are those of the last writes alone.
        ours = min((each.get("time", "") for each in raw if each.get("manager") in managers.ours), default="9")
        found = (_entry(each, managers, born, ours) for each in raw)
        self.entries = sorted(found, key=lambda entry: entry.time)
        self.persons: tuple[Fields, ...] = tuple(each.fields for each in self.entries if each.trust in _PEOPLE)
        self.unclear = not raw or any(each.trust is Trust.UNKNOWN for each in self.entries)

    def at(self, path: Path) -> Iterator[tuple[Entry, Fields]]:
        """Every manager that owns `path`, something below it, or a whole that holds it."""
        for entry in self.entries:
            node, _ = descend(entry.fields, path)
            if node is not None:
                yield entry, node

    def last(self, path: Path) -> Entry | None:
        """Who wrote `path` last; a person before the cluster's own programs."""
        owners = [entry for entry, _ in self.at(path)]
        persons = [entry for entry in owners if entry.trust is Trust.PERSON]
        chosen = persons or owners
        return chosen[-1] if chosen else None

    def last_other(self, path: Path) -> Entry | None:
        """Who wrote `path` last, unless we did: what is not as we wrote it, somebody left without a trace."""
        entry = self.last(path)
        return None if entry is None or entry.trust is Trust.OURS else entry

    def last_person(self) -> Entry | None:
        """The person who wrote the object last: the best guess at who took something away, for that leaves no trace.

        Who created it may have left something out, where we have not written since.
        """
        found = {entry.trust: entry for entry in self.entries if entry.subresource != "status"}
        return found.get(Trust.PERSON) or (None if Trust.OURS in found else found.get(Trust.FOUNDER))

    def founded(self, path: Path) -> bool:
        """Whether `path` is in the name of who created the object, and in no other person's."""
        people = [entry.trust for entry, _ in self.at(path) if entry.trust in _PEOPLE]
        return bool(people) and Trust.PERSON not in people

    def by_hand(self, path: Path) -> bool:
        """Whether somebody at a keyboard owns `path`: a program nobody told us of is no such one."""
        return any(entry.trust in _PEOPLE and at_keyboard(entry.manager) for entry, _ in self.at(path))

    def written_by(self, manager: str, path: Path) -> bool:
        """Whether a manager owns `path`, something below it, or a whole that holds it."""
        return any(entry.manager == manager for entry, _ in self.at(path))

    def may_override(self, path: Path) -> bool:
        """Whether what is at `path` was last written by a controller whose work that is."""
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        allowed = MAY_OVERRIDE.get(name)
        if not allowed:
            return False
        entry = self.last(path)
        return entry is not None and entry.manager in allowed

    def trusted(self, path: Path) -> bool:
        """Whether one of us or a controller owns `path`, or a whole that holds it.

        Without fields is written a whole, and also a map that was empty (`securityContext: {}` by default), or whose
        fields are others' by now: where anybody owns single fields of it, it is no whole.
        """
        reached = [(entry.trust, *descend(entry.fields, path)) for entry in self.entries]
        deepest = max((depth for _, _, depth in reached), default=0)
        return any(
            node is not None and depth == deepest and trust in (Trust.OURS, Trust.CONTROLLER)
            for trust, node, depth in reached
        )

    def still_ours(self, path: Path) -> bool:
        """Whether we alone own the very field at `path`, though it is not there.

        Who takes a field away takes it from every owner. What is owned and absent, the API server left out when it took
        our write: the books are kept before it drops the fields of features that are off.
        """
        owned = [(entry.trust, *descend(entry.fields, path)) for entry in self.entries]
        found = [(trust, node, depth) for trust, node, depth in owned if node is not None]
        return bool(found) and all(each == (Trust.OURS, {}, len(path) - 1) for each in found)

    def list_keys(self, path: Path) -> tuple[str, ...] | None:
        """The key fields of the list at `path`: as managers own its items, they are written there."""
        for _, node in self.at(path):
            for element in node:
                if element.startswith("k:"):
                    return tuple(orjson.loads(element[2:]))
        return None

    def is_set(self, path: Path) -> bool:
        """Whether managers own single members of the list at `path`."""
        return any(element.startswith("v:") for _, node in self.at(path) for element in node)


def suspicious(live: Mapping[str, Any], managers: Managers = MANAGERS) -> bool:
    """Whether anybody but us and the cluster's controllers may have written the object: cheap, and asked first."""
    entries = (live.get("metadata") or {}).get("managedFields")
    if not entries:
        return True
    ours, controllers = managers.ours, managers.controllers
    for entry in entries:
        manager = entry.get("manager")
        if manager in ours or manager in controllers:
            continue
        if not of_status(manager or "", entry.get("subresource", "")):
            return True
    return False


def descend(fields: Fields, path: Path) -> tuple[Fields | None, int]:
    """The fields at `path`: empty where it, or a whole that holds it, is owned, None where nothing is.

    And down to which step of the path there are single fields.
    """
    node: Any = fields
    for depth, step in enumerate(path):
        if not node:
            return node, depth - 1  # an atomic list or map is owned as one
        node = node.get(element(step))
        if node is None:
            return None, depth
    return node, len(path) - 1


def element(step: Step) -> str:
    """A step as managedFields write it."""
    if isinstance(step, str):
        return f"f:{step}"
    if isinstance(step, Item):
        return "k:" + orjson.dumps(dict(step.keys), option=orjson.OPT_SORT_KEYS).decode()
    if isinstance(step, Member):
        return "v:" + orjson.dumps(step.value).decode()
    return f"i:{step}"


def _entry(raw: Mapping[str, Any], managers: Managers, born: str, ours: str) -> Entry:
    manager, subresource, time = raw.get("manager", ""), raw.get("subresource", ""), raw.get("time", "")
    fields = raw["fieldsV1"]
    if manager in managers.ours:
        trust = Trust.OURS
    elif manager in managers.controllers or set(fields) <= {"f:status"} or of_status(manager, subresource):
        trust = Trust.CONTROLLER
    elif manager == _UNKNOWN_ORIGIN:
        trust = Trust.UNKNOWN
    elif time < ours and _at_birth(time, born):
        trust = Trust.FOUNDER
    else:
        trust = Trust.PERSON
    return Entry(manager, raw.get("operation", ""), time, subresource, fields, trust)


def _at_birth(time: str, born: str) -> bool:
    written, made = _moment(time), _moment(born)
    return written is not None and made is not None and written - made <= _BIRTH


def _moment(text: str) -> datetime | None:
    if not text:
        return None
    try:
        return datetime.fromisoformat(text.replace("Z", "+00:00")).astimezone(UTC)
    except ValueError:
        return None
