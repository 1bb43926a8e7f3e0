"""Comparing what is declared with what is there: pure, and only over the fields that are declared."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue


@dataclass(frozen=True)
class Difference:
    """One field that is not as declared."""

    path: str
    declared: JsonValue
    observed: JsonValue


def subset_differences(declared: JsonValue, observed: JsonValue, path: str = "") -> Iterator[Difference]:
    """Yield each field of `declared` that `observed` does not have, or has otherwise.

    Fields that only `observed` has are the server's defaults or another controller's business. Lists are compared
    item by item, since their order and length are declared too. An empty mapping equals an absent one: API servers
    drop empty values.
    """
    if isinstance(declared, Mapping):
        if not declared and observed is None:
            return
        if not isinstance(observed, Mapping):
            yield Difference(path, declared, observed)
            return
        for key, value in declared.items():
            yield from subset_differences(value, observed.get(key), f"{path}.{key}")
    elif isinstance(declared, Sequence) and not isinstance(declared, str):
        if not declared and observed is None:
            return
        if not isinstance(observed, Sequence) or isinstance(observed, str) or len(observed) != len(declared):
            yield Difference(path, declared, observed)
            return
        for index, (left, right) in enumerate(zip(declared, observed, strict=True)):
            yield from subset_differences(left, right, f"{path}[{index}]")
    elif declared != observed:
        yield Difference(path, declared, observed)
