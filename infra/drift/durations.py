"""Durations as Go reads them: `1h30m`, `1.5h` and `90m0s` are the same."""

from __future__ import annotations

import re
from fractions import Fraction
from typing import Final

_UNITS: Final = {"ns": 1, "us": 10**3, "\u00b5s": 10**3, "\u03bcs": 10**3, "ms": 10**6, "s": 10**9, "m": 60 * 10**9,
                 "h": 3600 * 10**9}  # fmt: skip
"""In nanoseconds; both Greek letters are in use."""
_TERM: Final = re.compile(rf"(?P<whole>[0-9]*)(?:\.(?P<part>[0-9]*))?(?P<unit>{'|'.join(_UNITS)})")
_LIMIT: Final = 2**63
_DIGITS: Final = 30
"""More than this make no duration that Go can hold, or say less than a nanosecond."""


def duration(text: str) -> int | None:
    """The nanoseconds of a duration; None where Go's time.ParseDuration refuses it.

    https://pkg.go.dev/time#ParseDuration
    """
    unsigned = text[1:] if text[:1] in ("+", "-") else text
    if unsigned == "0":
        return 0
    total, end = 0, 0
    while end < len(unsigned):
        term = _TERM.match(unsigned, end)
        amount = _amount(term) if term else None
        if term is None or amount is None:
            return None
        total, end = total + amount, term.end()
    if not end or total > _LIMIT or (total == _LIMIT and text[0] != "-"):
        return None
    return -total if text[0] == "-" else total


def _amount(term: re.Match[str]) -> int | None:
    """The nanoseconds of a number with its unit; what is less than one is cut off."""
    whole, part = term["whole"].lstrip("0"), (term["part"] or "")[:_DIGITS]
    if not (term["whole"] or term["part"]) or len(whole) > _DIGITS:
        return None
    return int(Fraction(f"{whole or 0}.{part or 0}") * _UNITS[term["unit"]])
