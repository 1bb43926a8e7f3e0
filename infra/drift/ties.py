"""Metadata that nobody declares and that says something all the same: what ties an object to others, and what a
version of its kind has no field for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from infra.drift.ownership import Owners
from infra.drift.paths import Member, Path, Step, key_of
from infra.drift.tables import CONTROLLER_FINALIZERS, MOVED_KEYS, TIES


def tied(declared: Mapping[str, Any], live: Mapping[str, Any], owners: Owners) -> Iterator[tuple[Path, Any]]:
    """What the living metadata has of it, with the path in the object.

    Finalizers and owners are what controllers put there all the time: only those of somebody at a keyboard count.
    """
    for name in sorted(TIES - declared.keys()):
        for item in live.get(name) or ():
            step = Member(item) if isinstance(item, str) else key_of(item, ("uid",))
            if step is not None and not clusters(step) and owners.by_hand(("metadata", name, step)):
                yield ("metadata", name, step), item
    notes, known = live.get("annotations") or {}, declared.get("annotations") or {}
    for name in sorted(MOVED_KEYS & notes.keys() - known.keys()):
        yield ("metadata", "annotations", name), notes[name]


def clusters(step: Step) -> bool:
    """Whether a member of a set is a finalizer of the cluster's own."""
    return isinstance(step, Member) and isinstance(step.value, str) and step.value.startswith(CONTROLLER_FINALIZERS)
