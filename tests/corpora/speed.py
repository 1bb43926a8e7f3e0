"""How many objects a second are compared on one core: `python -m tests.corpora.speed`. Prints, and asserts nothing."""

from __future__ import annotations

import copy
import time
from collections.abc import Callable, Sequence
from typing import Any

from infra.drift.memory import Memory
from infra.drift.objects import Key, key_of, suspects
from tests.corpora.corpus import Recorded, pairs

OBJECTS = 4000
ROUNDS = 5


def main() -> None:
    """Measure some selections of the corpus."""
    released = [row for row in pairs() if row.source not in ("applied", "adopted", "crds")]
    small = [row for row in released if row.live["kind"] != "CustomResourceDefinition"]
    deployments = [row for row in released if row.live["kind"] == "Deployment"]
    measure("a Deployment of about 60 fields", [min(deployments, key=lambda row: abs(fields(row.declared) - 60))])
    measure("every Deployment of the releases", deployments)
    measure("every object of the releases", small)
    measure("and their CRDs", released)
    measure("created by a person", [row for row in pairs() if row.source == "adopted"])


def measure(name: str, rows: Sequence[Recorded]) -> None:
    """Copies of `rows`, compared without and with the memory of an earlier look."""
    declared, live = copies(rows)
    memory = Memory()
    suspects(declared, live, memory=memory)

    def cold() -> None:
        suspects(declared, live)

    def known() -> None:
        suspects(declared, live, memory=memory)

    average = sum(fields(row.declared) for row in rows) / len(rows)
    rates = [rate(each, len(declared)) for each in (cold, known)]
    print(f"{name:34} {average:4.0f} fields: cold {rates[0]:7.0f}/s, known {rates[1]:7.0f}/s")


def copies(rows: Sequence[Recorded]) -> tuple[list[dict[str, Any]], dict[Key, dict[str, Any]]]:
    """Some thousand objects with names of their own."""
    declared, live = [], {}
    for number in range(-(-OBJECTS // len(rows))):
        for row in rows:
            left, right = copy.deepcopy(row.declared), copy.deepcopy(row.live)
            for each in (left, right):
                each["metadata"]["name"] += f"-{number}"
            right["metadata"]["uid"] += f"-{number}"
            declared.append(left)
            live[key_of(left)] = right
    return declared, live


def rate(work: Callable[[], None], count: int) -> float:
    """Objects a second, the best of some rounds."""
    best = float("inf")
    for _ in range(ROUNDS):
        begun = time.perf_counter()
        work()
        best = min(best, time.perf_counter() - begun)
    return count / best


def fields(item: Any) -> int:
    """How many values a document has."""
    if isinstance(item, dict | list):
        return sum(map(fields, item.values() if isinstance(item, dict) else item))
    return 1


if __name__ == "__main__":
    main()
