"""When two values mean the same to the API server, though they are written differently."""

from __future__ import annotations

from decimal import Decimal
from functools import lru_cache
from typing import Any

from kubernetes.utils.quantity import parse_quantity

from infra.drift.durations import duration
from infra.drift.paths import Path
from infra.drift.tables import (
    BUILTIN_GROUPS,
    DROPPED_MAPS,
    DURATIONS,
    FREE_FORM,
    KEPT_TEXTS,
    KEPT_ZEROS,
    OMITTED_FALSE,
    POD_QUANTITIES,
    QUANTITIES,
    QUANTITY_MAPS,
    RESOURCES,
)


def builtin(api_version: str) -> bool:
    """Whether the API server knows the kind by itself: then it drops empty values; custom resources keep them."""
    return api_version.rpartition("/")[0] in BUILTIN_GROUPS


def same(declared: Any, observed: Any, path: Path = (), is_builtin: bool = True) -> bool:
    """Whether two scalars are the same at `path`: numbers by value, quantities by amount, bytes without line breaks.

    In custom resources, durations by their length.
    """
    if declared == observed:
        # In Python, True is 1; in JSON it is not.
        return isinstance(declared, bool) is isinstance(observed, bool)
    if is_quantity(path, is_builtin):
        amount = quantity(declared)
        return amount is not None and amount == quantity(observed)
    if not (isinstance(declared, str) and isinstance(observed, str)):
        return False
    if _holds_bytes(path):
        return "".join(declared.split()) == "".join(observed.split())
    if not is_builtin and path[-1:] and path[-1] in DURATIONS and FREE_FORM.isdisjoint(path):
        length = duration(declared)
        return length is not None and length == duration(observed)
    return False


def identical(left: Any, right: Any) -> bool:
    """Whether two answers of the same API server say the same: it writes a value in one way only."""
    return left == right and isinstance(left, bool) is isinstance(right, bool)


def is_quantity(path: Path, is_builtin: bool) -> bool:
    """Whether a field is a resource quantity, by its name or its map's."""
    if len(path) > 1 and path[-2] in QUANTITY_MAPS:
        return holds_quantity(str(path[-2]), str(path[-1]), is_builtin)
    name = path[-1] if path else None
    if not is_builtin:
        return name in POD_QUANTITIES
    return name in QUANTITIES and (name != "value" or path[-2:-1] == ("target",))


def holds_quantity(name: str, key: str, is_builtin: bool) -> bool:
    """Whether a map of `QUANTITY_MAPS` has one under this key.

    In custom resources, and in the defaults of their definitions, it may as well be a version, where 1 is not 1.0.
    """
    return (is_builtin and name != "default") or RESOURCES.fullmatch(key) is not None


def _holds_bytes(path: Path) -> bool:
    """Fields of bytes, whose base64 the API server writes anew; a Secret's are seen to before (objects.py)."""
    return path[-1:] == ("caBundle",) or path[:1] == ("binaryData",)


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


def is_unset(key: str, value: Any) -> bool:
    """Whether a declared value of a built-in kind says no more than none: Go has no pointer that tells them apart.

    The API server puts its default there.
    """
    if value == "":
        return key not in KEPT_TEXTS
    return value == [] or (value == 0 and isinstance(value, int | float) and key not in KEPT_ZEROS)


def may_be_absent(key: str, value: Any, is_builtin: bool) -> bool:
    """Whether the API server may leave out `value`, so that its absence is no change.

    Built-in kinds drop the empty values of most fields; what is kept has a table. A custom resource keeps what it was
    given, but controllers that write it through Go types drop empty text and lists, and here and there a false.
    """
    if value is None or value in ("", []):
        return True
    if value == {}:
        return key in FREE_FORM or (is_builtin and key in DROPPED_MAPS)
    if value == 0 and isinstance(value, bool | int | float):
        return key not in KEPT_ZEROS if is_builtin else value is False and key in OMITTED_FALSE
    return False
