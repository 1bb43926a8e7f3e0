"""What is different between a declared object and the living one, field by field, and who wrote it.

Three sorts: a declared field is *changed* or *removed*, or the live object has something *extra*. What is extra is
only a difference where a person put it there: everything else is a default or another controller's. Where nobody knows
who did (no managedFields), only what cannot be a default counts: keys of maps whose keys people choose, items of lists,
and what lets a pod out of its box.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from infra.drift.allotting import TELLING, Allotting
from infra.drift.defaulting import is_admitted, is_derived, without_completions
from infra.drift.difference import Difference, Sort
from infra.drift.held import NOTHING, Held, below
from infra.drift.kinds import Kind
from infra.drift.matching import Pairing, align, by_key, last_of_each, match_members, match_rules
from infra.drift.ordering import reordered
from infra.drift.ownership import Owners
from infra.drift.paths import ABSENT, Path
from infra.drift.scaling import REPLICAS, SCALED, in_charge
from infra.drift.structure import Structure
from infra.drift.tables import (
    BOOKS,
    CONTROLLER_LISTS,
    CONTROLLER_PREFIXES,
    FREE_FORM,
    HELM_MARKS,
    LABELS_FROM_TEMPLATE,
    LIST_KEYS,
    MOVED_KEYS,
    NOISE_KEYS,
    PICKED,
    RUNTIME_FIELDS,
    SERVER_METADATA,
    SETS,
    TIES,
    UNORDERED,
    UNORDERED_ITEMS,
)
from infra.drift.ties import clusters, tied
from infra.drift.values import same

_TOLD_APART: Final = frozenset({"apiVersion", "kind", "status"})


def differences(
    declared: Mapping[str, Any],
    live: Mapping[str, Any],
    owners: Owners,
    *,
    floor: int | None = None,
    structure: Structure | None = None,
) -> list[Difference]:
    """Every difference, in the order of the declaration, extras last.

    Args:
        floor: the fewest replicas that an autoscaler may choose; None where there is none.
        structure: what a custom resource's definition says; None where that is not known.
    """
    walk = _Walk(declared, owners, floor, structure)
    walk.object(declared, live)
    return walk.found


class _Walk:
    """One comparison under way."""

    def __init__(
        self, declared: Mapping[str, Any], owners: Owners, floor: int | None, structure: Structure | None
    ) -> None:
        self.found: list[Difference] = []
        self._owners, self._floor = owners, floor
        self._kind = Kind(declared, structure)
        self._template_labels = _template_labels(declared) if self._kind.name in LABELS_FROM_TEMPLATE else {}
        self._allotting = Allotting(declared, owners, defaults_known=self._kind.defaults_known)

    def object(self, declared: Mapping[str, Any], live: Mapping[str, Any]) -> None:
        """Compare whole objects, without what identifies them and what the server keeps."""
        held = Held(self._owners.persons)
        metadata, there = declared.get("metadata") or {}, live.get("metadata") or {}
        self._map(
            {key: value for key, value in metadata.items() if key not in SERVER_METADATA},
            {key: value for key, value in there.items() if key not in SERVER_METADATA | (TIES - metadata.keys())},
            ("metadata",),
            below(held, "metadata"),
        )
        for path, item in tied(metadata, there, self._owners):
            self._add(path, ABSENT, item, "extra", decidable=False)
        skipped = _TOLD_APART | {"metadata"}
        if declared.get("aggregationRule"):
            skipped |= {"rules"}  # the cluster collects them, and whatever a person writes there is overwritten
        self._map(
            {key: value for key, value in declared.items() if key not in skipped},
            {key: value for key, value in live.items() if key not in skipped},
            (),
            held,
        )

    def _map(self, declared: Mapping[str, Any], live: Mapping[str, Any], path: Path, held: Held) -> None:
        noisy = bool(path) and path[-1] in BOOKS
        for key, value in declared.items():
            if isinstance(value, str) and value == live.get(key):
                continue  # most of what there is, and nothing more can be said of it
            if not (noisy and key in NOISE_KEYS) and not self._filled(key, declared, live, path, held):
                self._declared(key, value, live.get(key, ABSENT), (*path, key), held)
        for key, there in live.items():
            if key not in declared and not (noisy and _books(key)) and not self._derived(key, declared, live, path):
                self._extra(key, there, (*path, key), held)

    def _derived(self, key: str, declared: Mapping[str, Any], live: Mapping[str, Any], path: Path) -> bool:
        """Whether the API server made an extra key of something that is declared."""
        if self._template_labels and path in _FROM_TEMPLATE and not declared:
            return bool(self._template_labels.get(key) == live[key])
        return self._kind.builtin and is_derived(key, live[key], declared, live)

    def _filled(self, key: str, declared: Mapping[str, Any], live: Mapping[str, Any], path: Path, held: Held) -> bool:
        """Whether the API server filled in what is declared as empty, which to it is not declared."""
        value, there = declared[key], live.get(key)
        if value or there is None:
            return False
        where = (*path, key)
        if not self._kind.is_unset(value, where):
            return False
        if self._kind.is_default(there, where) or is_derived(key, there, declared, live):
            return True
        return key in PICKED and below(held, key) == NOTHING

    def _declared(self, key: str, value: Any, there: Any, path: Path, held: Held) -> None:
        if value is None:
            if there is not ABSENT:
                self._extra(key, there, path, held)
        elif there is ABSENT or there is None:
            left_out = not isinstance(value, dict) and self._owners.still_ours(path)
            if not (left_out or self._kind.may_lack(value, path)):
                self._add(path, value, ABSENT, "removed")
        else:
            self._value(value, there, path, below(held, key))

    def _value(self, value: Any, there: Any, path: Path, held: Held) -> None:
        if isinstance(value, dict) and isinstance(there, dict):
            limit = self._kind.name == "LimitRange" and path[:2] == ("spec", "limits") and len(path) == 3
            self._map(value, without_completions(value, there) if limit else there, path, held)
        elif isinstance(value, list) and isinstance(there, list):
            self._list(value, there, path, held)
        elif (
            isinstance(value, dict | list)
            or isinstance(there, dict | list)
            or not same(value, there, path, self._kind.builtin)
        ):
            self._add(path, value, there, "changed")

    def _list(self, declared: list[Any], live: list[Any], path: Path, held: Held) -> None:
        pairing, shared = self._pair(declared, live, path)
        if pairing is None:
            if declared != live:
                self._add(path, declared, live, "changed")
            return
        if shared:
            self._order(pairing, live, path)
        for step, value, there in pairing.pairs:
            self._value(value, there, (*path, step), below(held, step) if shared else held.whole())
        for step, value in pairing.missing:
            self._add((*path, step), value, ABSENT, "removed")
        for step, there in pairing.extra:
            if is_admitted(there, path, self._kind.name) or self._allotting.challenged(there, path):
                continue
            if shared:
                self._extra_item(there, (*path, step), held)
            else:
                self._add((*path, step), ABSENT, there, "extra")

    def _order(self, pairing: Pairing, live: list[Any], path: Path) -> None:
        """What two orders of the same items say."""
        known = {id(there) for _, _, there in pairing.pairs}
        there = [each for each in live if id(each) in known]
        orders = reordered(str(path[-1]), [value for _, value, _ in pairing.pairs], there)
        if orders is not None:
            found = Difference(path, *orders, "changed", self._owners.last_other(path), decidable=False, reordered=True)
            self.found.append(found)

    def _pair(self, declared: list[Any], live: list[Any], path: Path) -> tuple[Pairing | None, bool]:
        """Which items belong together, and whether managers own single items."""
        name = next((step for step in reversed(path) if isinstance(step, str)), "")
        if all(isinstance(each, dict) for each in (*declared, *live)):
            known = LIST_KEYS.get(name) or tuple(filter(None, (self._owners.list_keys(path),)))
            for fields in known:
                pairing = by_key(declared, live, fields)
                if pairing is None and name == "env" and len(declared) != len(live):
                    pairing = by_key(last_of_each(declared, fields), last_of_each(live, fields), fields)
                if pairing is not None:
                    return pairing, True
            if path in UNORDERED_ITEMS.get(self._kind.name, ()):
                return match_rules(declared, live), False
            return align(declared, live), False
        if any(isinstance(each, dict | list) for each in (*declared, *live)):
            return align(declared, live), False
        shared = name in SETS or self._owners.is_set(path)
        if shared or (name in UNORDERED and self._kind.builtin):
            return match_members(declared, live), shared
        return (align(declared, live) if len(declared) == len(live) else None), False

    def _extra(self, key: str, there: Any, path: Path, held: Held) -> None:
        """A key that only the live object has."""
        if there is None or key in RUNTIME_FIELDS.get(self._kind.name, ()):
            return
        if isinstance(there, list) and there and all(is_admitted(each, path, self._kind.name) for each in there):
            return
        if path == REPLICAS and self._kind.name in SCALED:
            if there != 1:  # the default; whoever wrote another number, it is an autoscaler's or nobody's
                self._add(path, ABSENT, there, "extra", decidable=False)
            return
        if held.atomic:
            # A whole was written by a person, defaults included; only a dry run tells them apart.
            doubtful = self._kind.is_doubtful(there, path)
            if self._allotting.at_birth(key, there, path) or (doubtful and self._owners.founded(path)):
                return
            self._add(path, ABSENT, there, "extra", doubtful=doubtful)
            return
        beneath = below(held, key)
        if beneath.nodes or beneath.atomic:
            self._persons(key, there, path, beneath)
        elif self._owners.unclear:
            self._nobodys(key, there, path, beneath)

    def _persons(self, key: str, there: Any, path: Path, held: Held) -> None:
        """An extra key that a person owns, or that holds something a person owns."""
        owns_it = held.atomic or any("." in node for node in held.nodes)
        opened = key in FREE_FORM or key == "metadata" or not owns_it
        if isinstance(there, dict) and there and not held.atomic and opened:
            self._map({}, there, path, held)
        elif (
            self._kind.is_default(there, path)
            or self._shared(there, path)
            or self._allotting.at_birth(key, there, path)
            or (held.atomic and self._allotting.limited(key, there))
        ):
            return
        elif isinstance(there, list) and there and not held.atomic:
            self._list([], there, path, held)
        else:
            self._add(path, ABSENT, there, "extra", decidable=False)

    def _shared(self, there: Any, path: Path) -> bool:
        """Whether a value is also ours or a controller's: who changes one takes it from everybody else."""
        return not isinstance(there, dict | list) and self._owners.trusted(path)

    def _nobodys(self, key: str, there: Any, path: Path, held: Held) -> None:
        """An extra key of which nobody knows who wrote it."""
        if isinstance(there, dict) and (key in FREE_FORM or key in ("metadata", "template", "spec")):
            if not self._kind.is_default(there, path):
                self._map({}, there, path, held)
        elif isinstance(there, list) and there and key in LIST_KEYS.keys() | SETS:
            self._list([], there, path, held)
        elif key not in TELLING and FREE_FORM.isdisjoint(path[-2:-1]):
            return
        elif not (
            self._allotting.assigned(key, there, path)
            or self._owners.trusted(path)
            or self._kind.is_default(there, path)
        ):
            self._add(path, ABSENT, there, "extra", decidable=False)

    def _extra_item(self, there: Any, path: Path, held: Held) -> None:
        """An item that only the live object has, in a list whose items have owners of their own."""
        beneath = below(held, path[-1])
        persons = held.atomic or beneath.nodes or beneath.atomic
        if clusters(path[-1]) or (path[-2] in CONTROLLER_LISTS and self._owners.founded(path)):
            return
        if persons and self._owners.trusted(path):
            # Injected for us, and edited by a person: only the edit is a person's.
            if isinstance(there, dict):
                self._map({}, there, path, beneath)
            return
        if persons or (self._owners.unclear and path[-2] not in CONTROLLER_LISTS and not self._owners.trusted(path)):
            self._add(path, ABSENT, there, "extra", decidable=False)

    def _others(self, path: Path, declared: Any, observed: Any) -> bool:
        """Whether a value is the choice of a controller whose work that is."""
        if path == REPLICAS and self._kind.name in SCALED:
            return in_charge(self._floor, declared, observed)
        return self._owners.may_override(path)

    def _add(
        self,
        path: Path,
        declared: Any,
        observed: Any,
        sort: Sort,
        *,
        decidable: bool = True,
        doubtful: bool = False,
    ) -> None:
        if sort != "removed" and self._others(path, declared, observed):
            return
        gone = sort == "removed" or path[-1] in MOVED_KEYS
        entry = self._owners.last_person() if gone else self._owners.last_other(path)
        self.found.append(Difference(path, declared, observed, sort, entry, decidable, doubtful))


_FROM_TEMPLATE: Final = (("metadata", "labels"), ("spec", "selector"))


def _template_labels(declared: Mapping[str, Any]) -> Mapping[str, Any]:
    """The labels of an object's pods."""
    template = (declared.get("spec") or {}).get("template") or {}
    return (template.get("metadata") or {}).get("labels") or {}


def _books(key: str) -> bool:
    """Whether an extra label or annotation is somebody's book-keeping."""
    return key in NOISE_KEYS or key in MOVED_KEYS or key in HELM_MARKS or key.startswith(CONTROLLER_PREFIXES)
