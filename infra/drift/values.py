"""When two values mean the same to the API server, though they are written differently."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from infra.drift.paths import ABSENT, Path
from infra.drift.tables import ANY, BUILTIN_GROUPS, DEFAULTS, FREE_FORM, KEPT_ZEROS, QUANTITIES, QUANTITY_MAPS

_BYTES = frozenset({"caBundle", "data", "binaryData"})
"""Fields of bytes, whose base64 the API server writes anew."""


def builtin(api_version: str) -> bool:
    """Whether the API server knows the kind by itself: then it drops empty values; custom resources keep them."""
    group = api_version.rpartition("/")[0]
    return group in BUILTIN_GROUPS or group.endswith(".k8s.io")


def same(declared: Any, observed: Any, path: Path = ()) -> bool:
    """Whether two scalars are the same at `path`: numbers by value, quantities by amount, bytes without line breaks."""
    if declared == observed:
        # In Python, True is 1; in JSON it is not.
        return isinstance(declared, bool) is isinstance(observed, bool)
    if is_quantity(path):
        amount = quantity(declared)
        return amount is not None and amount == quantity(observed)
    if isinstance(declared, str) and isinstance(observed, str) and _holds_bytes(path):
        return "".join(declared.split()) == "".join(observed.split())
    return False


def is_quantity(path: Path) -> bool:
    """Whether a field is a resource quantity, by its name or its map's."""
    if len(path) > 1 and path[-2] in QUANTITY_MAPS:
        return True
    name = path[-1] if path else None
    return name in QUANTITIES and (name != "value" or path[-2:-1] == ("target",))


def _holds_bytes(path: Path) -> bool:
    return path[-1] in _BYTES or (len(path) == 2 and path[0] in _BYTES)


def quantity(value: Any) -> Decimal | None:
    """The amount of `1000m`, `1Gi`, `0.5` or 1; None where it is no quantity."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        return None
    return _amount(str(value))


@lru_cache(maxsize=4096)
def _amount(text: str) -> Decimal | None:
    try:
        return Decimal(parse_quantity(text))
    except ValueError:
        return None


def may_be_absent(key: str, value: Any, is_builtin: bool) -> bool:
    """Whether the API server may leave out `value`, so that its absence is no change.

    Built-in kinds drop the empty values of most fields; what is kept has a table. A custom resource keeps what it was
    given, but controllers that write it through Go types drop empty text and lists.
    """
    if value is None or value in ("", []):
        return True
    if value == {}:
        return key in FREE_FORM
    if value == 0 and isinstance(value, bool | int | float):
        return is_builtin and key not in KEPT_ZEROS
    return False


def is_default(key: str, value: Any) -> bool:
    """Whether the API server puts this value where nothing is declared."""
    if value is None or value in ("", []):
        return True
    known = DEFAULTS.get(key, ())
    if any(each is ANY or each == value for each in known):
        return True
    return bool(value) and isinstance(value, dict) and all(is_default(name, each) for name, each in value.items())


def equivalent(left: Any, right: Any, path: Path = ()) -> bool:
    """Whether two whole values are the same, quantities and empty values included."""
    if isinstance(left, dict) and isinstance(right, dict):
        return all(
            equivalent(left.get(key, ABSENT), right.get(key, ABSENT), (*path, key))
            for key in left.keys() | right.keys()
        )
    if isinstance(left, list) and isinstance(right, list):
        return len(left) == len(right) and all(
            equivalent(a, b, (*path, index)) for index, (a, b) in enumerate(zip(left, right, strict=True))
        )
    if left is ABSENT or right is ABSENT:
        there = right if left is ABSENT else left
        return there is ABSENT or there is None or there in ("", [], {})
    return same(left, right, path)
