"""A saved plan as a model: what would change, and why, without any sensitive value."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import BaseModel, ConfigDict

from infra.clients.errors import Failed

SENSITIVE = "(sensitive)"
UNKNOWN = "(known after apply)"

FLUCTUATING = frozenset({"updated_at", "node_addresses", "master_addresses"})
"""Attributes the cloud changes by itself: no drift, when nothing else changed."""


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True)


class Difference(_Model):
    """One argument of an object, before and after; sensitive and unknown values are named, not shown."""

    path: str
    before: Any = None
    after: Any = None


class Change(_Model):
    """What would happen to one object.

    Attributes:
        address: as terraform writes it, `type.name["key"]`.
        actions: create, read, update, delete; replacing is delete and create in either order.
        replace_paths: arguments that force a replacement.
        reason: terraform's reason for the action, such as replace_because_tainted.
        identifier: the object's id today.
        differences: the arguments that differ.
    """

    address: str
    type: str
    name: str
    key: str | None = None
    actions: tuple[str, ...]
    replace_paths: tuple[str, ...] = ()
    reason: str | None = None
    identifier: str | None = None
    differences: tuple[Difference, ...] = ()

    @property
    def replaces(self) -> bool:
        """Whether the object would be destroyed and made again."""
        return "delete" in self.actions and "create" in self.actions

    @property
    def destroys(self) -> bool:
        """Whether the object would be lost, replaced or not."""
        return "delete" in self.actions

    @property
    def tainted(self) -> bool:
        """Whether terraform doubts the object, since an earlier operation on it did not finish."""
        return self.reason == "replace_because_tainted"

    def until(self, action: str) -> Change:
        """What was asked for when `action` was begun and nothing after it."""
        return self.model_copy(update={"actions": (action,)}) if action == self.actions[0] else self

    @property
    def verb(self) -> str:
        """create, update, delete or replace."""
        return "replace" if self.replaces else self.actions[0]


class Plan(_Model):
    """A plan, and the file it is saved in.

    Attributes:
        changes: objects that would change.
        outputs_changed: outputs would change, which is all that is left to do after an import.
        drift: objects found changed since terraform last looked, whether or not the plan does anything about it.
        destroy: whether this plans the end of everything.
        file: the saved plan; holds secrets (mode 0600), and is deleted once applied or discarded.
    """

    environment: str
    changes: tuple[Change, ...] = ()
    outputs_changed: bool = False
    drift: tuple[Change, ...] = ()
    destroy: bool = False
    file: Path | None = None

    @property
    def empty(self) -> bool:
        """Whether there is nothing to do."""
        return not self.changes and not self.outputs_changed

    def only(self, begun: Mapping[str, str]) -> Plan:
        """The part of it that was begun; it cannot be applied.

        Args:
            begun: address -> the action that was begun last; of a replacement, that may be its first half.
        """
        changes = [change.until(begun[change.address]) for change in self.changes if change.address in begun]
        return self.model_copy(update={"changes": tuple(changes), "file": None})

    def summary(self) -> str:
        """One sentence."""
        if not self.changes:
            return f"Terraform has nothing to change in {self.environment}."
        verbs = [change.verb for change in self.changes]
        counts = ", ".join(f"{verbs.count(verb)} to {verb}" for verb in sorted(set(verbs)))
        return f"Terraform would change {self.environment}: {counts}."


def parse(document: str, *, environment: str, destroy: bool = False, file: Path | None = None) -> Plan:
    """Read `terraform show -json <plan>`.

    Raises:
        Failed: the text is no plan. It is not quoted, for it may hold secrets.
    """
    try:
        data = json.loads(document)
        changes = _changes(data.get("resource_changes") or [])
        drift = tuple(filter(_telling, _changes(data.get("resource_drift") or [])))
        outputs = [change["actions"] for change in (data.get("output_changes") or {}).values()]
    except (ValueError, KeyError, TypeError, AttributeError):
        raise Failed(f"Terraform's plan for {environment} cannot be read.") from None
    return Plan(
        environment=environment,
        changes=changes,
        outputs_changed=any(map(_acts, outputs)),
        drift=drift,
        destroy=destroy,
        file=file,
    )


def _changes(items: list[dict[str, Any]]) -> tuple[Change, ...]:
    return tuple(_change(item) for item in items if item["mode"] == "managed" and _acts(item["change"]["actions"]))


def _telling(change: Change) -> bool:
    return change.destroys or not FLUCTUATING.issuperset(difference.path for difference in change.differences)


def _acts(actions: list[str]) -> bool:
    return actions not in (["no-op"], ["read"])


def _change(item: dict[str, Any]) -> Change:
    change = item["change"]
    index = item.get("index")
    return Change(
        address=item["address"],
        type=item["type"],
        name=item["name"],
        key=None if index is None else str(index),
        actions=tuple(change["actions"]),
        replace_paths=tuple(_path(path) for path in change.get("replace_paths") or ()),
        reason=item.get("action_reason"),
        identifier=(change.get("before") or {}).get("id"),
        differences=_differences(change),
    )


def _path(steps: list[Any]) -> str:
    first, *rest = steps
    return str(first) + "".join(f"[{step}]" if isinstance(step, int) else f".{step}" for step in rest)


def _differences(change: dict[str, Any]) -> tuple[Difference, ...]:
    before, after = change.get("before") or {}, change.get("after") or {}
    unknown = change.get("after_unknown") or {}
    found = []
    for name in sorted({*before, *after, *(unknown if isinstance(unknown, dict) else {})}):
        hidden = any(_marked(change.get(key), name) for key in ("before_sensitive", "after_sensitive"))
        old, new = before.get(name), UNKNOWN if _marked(unknown, name) else after.get(name)
        if old == new:
            continue
        if hidden:
            old, new = (None if value is None else SENSITIVE for value in (old, new))
        found.append(Difference(path=name, before=old, after=new))
    return tuple(found)


def _marked(marks: Any, name: str) -> bool:
    """Whether terraform marks an argument, or a part of it, in one of its mirrored trees of booleans."""
    if not isinstance(marks, dict):
        return marks is True
    return _any_true(marks.get(name))


def _any_true(marks: Any) -> bool:
    if isinstance(marks, dict):
        return any(map(_any_true, marks.values()))
    if isinstance(marks, list):
        return any(map(_any_true, marks))
    return marks is True
