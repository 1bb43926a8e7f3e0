"""Waiting in tests for what another process does."""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import TypeVar

T = TypeVar("T")


def until(probe: Callable[[], T], what: str, seconds: float = 60, every: float = 0.25) -> T:
    """Wait until `probe` says something true, and return it.

    Args:
        what: what is waited for, as the failure is to name it.
        seconds: after which it is a failure.
        every: seconds between two looks.
    """
    deadline = time.monotonic() + seconds
    while not (found := probe()):
        assert time.monotonic() < deadline, f"waited {seconds:g} s for {what}"
        time.sleep(every)
    return found
