"""metadata.managedFields: who owns which field, for updates and for server-side apply.

Follows k8s.io/apimachinery/pkg/util/managedfields: an update takes ownership of what it changes; an apply owns what it
names, conflicts with others' fields it would change, and removes what it named last time and nobody else owns.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

from deployments.sandbox.kubernetes import merge
from deployments.sandbox.kubernetes.errors import Cause, StatusError
from deployments.sandbox.kubernetes.fieldset import FieldSet, Path, show
from deployments.sandbox.kubernetes.types import Type

BEFORE_FIRST_APPLY = "before-first-apply"
_STRIPPED: dict[str, Any] = {
    "f:apiVersion": None,
    "f:kind": None,
    "f:metadata": {
        ".": None,
        **{
            f"f:{name}": None
            for name in ("name", "namespace", "creationTimestamp", "selfLink", "uid", "clusterName", "generation",
                         "managedFields", "resourceVersion")
        },
    },
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Manager:
    """Who writes, and how: the identity of one managedFields entry."""

    name: str
    operation: str
    api_version: str
    subresource: str = ""

    @property
    def identity(self) -> tuple[str, str, str, str]:
        version = "" if self.operation == "Apply" else self.api_version
        return self.name, self.operation, version, self.subresource


@dataclass(slots=True)
class Entry:
    """One manager's fields and when they last changed."""

    manager: Manager
    fields: FieldSet
    time: str


@dataclass
class Managers:
    """All entries of one object."""

    entries: dict[tuple[str, str, str, str], Entry] = field(default_factory=dict)

    @classmethod
    def decode(cls, raw: Iterable[dict[str, Any]] | None) -> Managers:
        out = cls()
        for entry in raw or ():
            if not entry.get("operation") or not isinstance(entry.get("fieldsV1"), dict):
                continue
            manager = Manager(
                entry.get("manager", ""), entry["operation"], entry.get("apiVersion", ""), entry.get("subresource", "")
            )
            fields = FieldSet.from_json(entry["fieldsV1"])
            out.entries[manager.identity] = Entry(manager, fields, entry.get("time", ""))
        return out

    def encode(self) -> list[dict[str, Any]]:
        """The list as stored: appliers first, then by time, manager, version."""
        out = []
        for entry in sorted(
            self.entries.values(),
            key=lambda item: (
                item.manager.operation, item.time, item.manager.name, item.manager.api_version, item.manager.subresource
            ),
        ):  # fmt: skip
            encoded: dict[str, Any] = {
                "manager": entry.manager.name,
                "operation": entry.manager.operation,
                "apiVersion": entry.manager.api_version,
                "time": entry.time,
                "fieldsType": "FieldsV1",
                "fieldsV1": entry.fields.to_json(),
            }
            if entry.manager.subresource:
                encoded["subresource"] = entry.manager.subresource
            out.append(encoded)
        return out

    def set(self, manager: Manager, fields: FieldSet, now: str) -> None:
        """Give an entry its fields; the time moves only when they change; an empty one goes."""
        known = self.entries.get(manager.identity)
        if fields.empty():
            self.entries.pop(manager.identity, None)
        elif known is None or known.fields != fields or known.manager.api_version != manager.api_version:
            self.entries[manager.identity] = Entry(manager, fields, now)

    def others(self, manager: Manager) -> list[Entry]:
        return [entry for key, entry in self.entries.items() if key != manager.identity]


def _ignored(reset: Iterable[Path]) -> dict[str, Any]:
    """Stripped metadata and the fields a subresource may not set, as an argument of FieldSet.without."""
    out: dict[str, Any] = {key: dict(value) if value else None for key, value in _STRIPPED.items()}
    for path in reset:
        node = out
        for element in path[:-1]:
            node = node.setdefault(element, {})
        node[path[-1]] = None
    return out


def track_update(
    schema: Type,
    live: dict[str, Any],
    new: dict[str, Any],
    managers: Managers,
    manager: Manager,
    *,
    now: str,
    reset: Iterable[Path] = (),
) -> None:
    """Record in `managers` that `manager` changed `live` into `new`."""
    ignored = _ignored(reset)
    change = merge.compare(schema, live, new)
    written = change.modified.union(change.added).without(ignored)
    removed = change.removed.without(ignored)
    if written.empty() and removed.empty():
        return
    for entry in managers.others(manager):
        managers.set(entry.manager, entry.fields.difference(written).difference(removed), entry.time)
    known = managers.entries.get(manager.identity)
    owned = known.fields if known else FieldSet()
    managers.set(manager, owned.difference(removed).union(written), now)


def apply(
    schema: Type,
    live: dict[str, Any],
    config: dict[str, Any],
    managers: Managers,
    manager: Manager,
    *,
    now: str,
    force: bool,
    reset: Iterable[Path] = (),
) -> dict[str, Any]:
    """`live` after `manager` applied `config`; updates `managers`.

    Raises:
        StatusError: 409, another manager owns a field this would change, and not `force`.
    """
    ignored = _ignored(reset)
    merged = merge.merge(schema, live, config)
    whole = merge.to_fieldset(schema, config)
    last = managers.entries.get(manager.identity)
    if last is not None:
        protected = whole
        for entry in managers.others(manager):
            protected = protected.union(entry.fields)
        merged = merge.remove(schema, merged, last.fields, protected)
    change = merge.compare(schema, live, merged)
    written = change.modified.union(change.added).without(ignored)
    disputed = [(entry.manager, entry.fields.intersection(written)) for entry in managers.others(manager)]
    disputed = [(holder, fields) for holder, fields in disputed if not fields.empty()]
    if disputed and not force:
        raise _conflict(disputed)
    for holder, fields in disputed:
        entry = managers.entries[holder.identity]
        managers.set(holder, entry.fields.difference(fields), entry.time)
    for entry in managers.others(manager):
        managers.set(entry.manager, entry.fields.difference(change.removed), entry.time)
    managers.set(manager, whole.without(ignored), now)
    return merged if isinstance(merged, dict) else config


def _holder(manager: Manager) -> str:
    shown = f'"{manager.name}"'
    if manager.subresource:
        shown += f' with subresource "{manager.subresource}"'
    return f"{shown} using {manager.api_version}" if manager.operation == "Update" else shown


def _conflict(disputed: list[tuple[Manager, FieldSet]]) -> StatusError:
    found = [(_holder(manager), show(path)) for manager, fields in disputed for path in fields.paths()]
    causes = [Cause(path, "FieldManagerConflict", f"conflict with {holder}") for holder, path in found]
    if len(found) == 1:
        message = f"Apply failed with 1 conflict: conflict with {found[0][0]}: {found[0][1]}"
    else:
        held: dict[str, list[str]] = {}
        for holder, path in found:
            held.setdefault(holder, []).append(path)
        blocks = [
            f"conflicts with {holder}:\n" + "\n".join(f"- {path}" for path in held[holder]) for holder in sorted(held)
        ]
        message = f"Apply failed with {len(found)} conflicts: " + "\n".join(blocks)
    return StatusError(409, "Conflict", message, {"causes": [cause.to_json() for cause in causes]})


def adopt_untracked(
    schema: Type, empty: dict[str, Any], live: dict[str, Any], managers: Managers, applier: Manager, *, now: str
) -> None:
    """Before the first apply on an object nobody tracked: everything in it belongs to `before-first-apply`."""
    track_update(schema, empty, live, managers, Manager(BEFORE_FIRST_APPLY, "Update", applier.api_version), now=now)
