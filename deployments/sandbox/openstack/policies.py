"""Loads a service's access rules before it serves."""

from __future__ import annotations

from typing import Any


def load(enforcer: Any) -> None:
    """Load the rules of an oslo.policy enforcer.

    It does so at its first decision, and not safely among threads: of two first requests at the same moment one finds
    no rules yet and is refused.
    """
    enforcer.load_rules()
