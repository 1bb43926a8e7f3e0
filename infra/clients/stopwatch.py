"""How long a run waited for others: each call of a client is an interval, and overlapping ones count once.

What is left of a run's time is its own overhead.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field

_running: ContextVar[Stopwatch | None] = ContextVar("stopwatch", default=None)


@dataclass
class Stopwatch:
    """The intervals of one run."""

    intervals: list[tuple[str, float, float]] = field(default_factory=list)
    """Whom we waited for, from when, until when (monotonic seconds)."""

    def waited(self) -> dict[str, float]:
        """Seconds waited for each of those we waited for; calls side by side count once."""
        names = sorted({name for name, _, _ in self.intervals})
        return {name: covered([(a, b) for other, a, b in self.intervals if other == name]) for name in names}

    def total(self) -> float:
        """Seconds during which we waited for anybody."""
        return covered([(began, ended) for _, began, ended in self.intervals])


def covered(intervals: list[tuple[float, float]]) -> float:
    """The length of the union of intervals (pure)."""
    total, reached = 0.0, float("-inf")
    for began, ended in sorted(intervals):
        total += max(0.0, ended - max(began, reached))
        reached = max(reached, ended)
    return total


@contextmanager
def measured() -> Iterator[Stopwatch]:
    """Measure what is awaited within the block, also in tasks started from it."""
    stopwatch = Stopwatch()
    token = _running.set(stopwatch)
    try:
        yield stopwatch
    finally:
        _running.reset(token)


@contextmanager
def waiting_for(name: str) -> Iterator[None]:
    """Count the block as time waited for `name`."""
    stopwatch = _running.get()
    began = time.monotonic()
    try:
        yield
    finally:
        if stopwatch is not None:
            stopwatch.intervals.append((name, began, time.monotonic()))
