"""Whether a live object has everything that is declared: the quick answer, which most objects get.

No paths, no explanations, nothing copied. `True` is certain; `False` only means that differences.py has to look.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from infra.drift.tables import FREE_FORM, KEPT_ZEROS, QUANTITIES, QUANTITY_MAPS
from infra.drift.values import holds_quantity, quantity

_IDENTITY = frozenset({"apiVersion", "kind", "metadata", "status"})
_OWN_METADATA = ("labels", "annotations", "finalizers", "ownerReferences")


def covers(declared: Mapping[str, Any], live: Mapping[str, Any], is_builtin: bool) -> bool:
    """Whether `live` has every field of `declared`, with the same value and lists of the same length."""
    metadata, there = declared.get("metadata") or {}, live.get("metadata") or {}
    for name in _OWN_METADATA:
        value = metadata.get(name)
        if value and not _value(value, there.get(name), name, is_builtin):
            return False
    for key, value in declared.items():
        if key not in _IDENTITY and not _value(value, live.get(key), key, is_builtin):
            return False
    return True


def _value(declared: Any, live: Any, key: str, is_builtin: bool) -> bool:
    kind = declared.__class__
    if kind is dict:
        if live.__class__ is not dict:
            return live is None and not declared and key in FREE_FORM
        if key in FREE_FORM or key in QUANTITY_MAPS:
            return _flat(declared, live, key, is_builtin)
        return _map(declared, live, is_builtin)
    if kind is list:
        return _list(declared, live, is_builtin)
    if declared == live and kind is live.__class__:
        return True
    return _scalar(declared, live, key, is_builtin)


def _map(declared: dict[str, Any], live: dict[str, Any], is_builtin: bool) -> bool:
    get = live.get
    for key, value in declared.items():
        there = get(key)
        kind = value.__class__
        # Most values are text and the same: they are not worth a call.
        if kind is str and value == there:
            continue
        if not _value(value, there, key, is_builtin):
            return False
    return True


def _list(declared: list[Any], live: Any, is_builtin: bool) -> bool:
    if live.__class__ is not list:
        return live is None and not declared
    if len(declared) != len(live):
        return False
    for value, there in zip(declared, live, strict=True):  # noqa: SIM110 - a generator costs more than the comparison
        if not _value(value, there, "", is_builtin):
            return False
    return True


def _scalar(declared: Any, live: Any, key: str, is_builtin: bool) -> bool:
    if declared is None:
        return True  # `null` declares nothing
    if live is None:
        return declared == "" or (is_builtin and declared == 0 and key not in KEPT_ZEROS)
    return is_builtin and key in QUANTITIES and key != "value" and _amounts(declared, live)


def _flat(declared: dict[str, Any], live: dict[str, Any], name: str, is_builtin: bool) -> bool:
    """Two maps whose keys people choose: an empty value is one, too."""
    get = live.get
    for key, value in declared.items():
        there = get(key)
        if there != value and not (
            name in QUANTITY_MAPS and holds_quantity(name, key, is_builtin) and _amounts(value, there)
        ):
            return False
    return True


def _amounts(declared: Any, live: Any) -> bool:
    amount = quantity(declared)
    return amount is not None and amount == quantity(live)


def item_covers(declared: Any, live: Any) -> bool:
    """The same for two items of a list."""
    return _value(declared, live, "", True)
