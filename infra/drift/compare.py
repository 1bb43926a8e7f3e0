"""Comparing what is declared with what is there: pure, and only over the fields that are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from kubernetes.utils.quantity import parse_quantity
from pydantic import JsonValue

KEYS = ("name", "containerPort", "port", "mountPath", "key", "uid", "ip", "topologyKey", "devicePath", "path")
"""By which Kubernetes tells the items of a list apart, whatever their order (the API's `patchMergeKey`s)."""
DROPPED = frozenset(
    {"hostNetwork", "hostPID", "hostIPC", "stdin", "stdinOnce", "tty", "readOnly", "paused", "publishNotReadyAddresses"}
    | {"unschedulable", "minReadySeconds", "nodePort", "healthCheckNodePort"}
)
"""Fields that the API server drops when they are false or zero; others mean something else when they are absent."""
QUANTITIES = frozenset(
    {"limits", "requests", "capacity", "hard", "default", "defaultRequest", "max", "min", "sizeLimit"}
)
"""Fields under which values are quantities: `1000m` is `1`, `1Gi` is `1024Mi`."""


@dataclass(frozen=True)
class Difference:
    """One field that is not as declared."""

    path: str
    declared: JsonValue
    observed: JsonValue


def subset_differences(
    declared: JsonValue, observed: JsonValue, path: str = "", *, quantity: bool = False
) -> Iterator[Difference]:
    """Yield each field of `declared` that `observed` does not have, or has otherwise.

    Fields that only `observed` has are the server's defaults or another controller's business. Items of a list that
    have a key are found by it; of any other list, order and length are declared, too. An empty value equals an absent
    one: API servers drop empty values.

    Args:
        quantity: whether the values are quantities.
    """
    if isinstance(declared, Mapping):
        yield from _mapping(declared, observed, path, quantity=quantity)
    elif isinstance(declared, Sequence) and not isinstance(declared, str):
        yield from _list(declared, observed, path, quantity=quantity)
    elif declared != observed and not _same(declared, observed, path, quantity=quantity):
        yield Difference(path, declared, observed)


def _mapping(
    declared: Mapping[str, JsonValue], observed: JsonValue, path: str, *, quantity: bool
) -> Iterator[Difference]:
    if not declared and observed is None:
        return
    if not isinstance(observed, Mapping):
        yield Difference(path, dict(declared), observed)
        return
    for key, value in declared.items():
        inner = quantity or key in QUANTITIES
        yield from subset_differences(value, observed.get(key), f"{path}.{key}", quantity=inner)


def _list(declared: Sequence[JsonValue], observed: JsonValue, path: str, *, quantity: bool) -> Iterator[Difference]:
    if not declared and observed is None:
        return
    if not isinstance(observed, Sequence) or isinstance(observed, str):
        yield Difference(path, list(declared), observed)
        return
    key = _key(declared, observed)
    if key is not None:
        there = {item[key]: item for item in observed}  # type: ignore[index, call-overload]
        for item in declared:
            name = item[key]  # type: ignore[index, call-overload]
            yield from subset_differences(item, there.get(name), f"{path}[{key}={name}]", quantity=quantity)
    elif len(observed) != len(declared):
        yield Difference(path, list(declared), list(observed))
    else:
        for index, (left, right) in enumerate(zip(declared, observed, strict=True)):
            yield from subset_differences(left, right, f"{path}[{index}]", quantity=quantity)


def _key(*lists: Sequence[JsonValue]) -> str | None:
    """The key that each item of each list has, and no two items of one list alike."""
    items = [item for each in lists for item in each]
    if not items or not all(isinstance(item, Mapping) for item in items):
        return None
    for key in KEYS:
        values = [[item.get(key) for item in each if isinstance(item, Mapping)] for each in lists]
        if all(isinstance(one, str | int) for each in values for one in each) and all(
            len(set(map(str, each))) == len(each) for each in values
        ):
            return key
    return None


def _same(declared: JsonValue, observed: JsonValue, path: str, *, quantity: bool) -> bool:
    if observed is None:
        return declared in (None, "") or (not declared and path.rpartition(".")[2] in DROPPED)
    return quantity and _amount(declared) is not None and _amount(declared) == _amount(observed)


def _amount(value: JsonValue) -> Any:
    try:
        return parse_quantity(value) if isinstance(value, str | int | float) else None
    except ValueError:
        return None
