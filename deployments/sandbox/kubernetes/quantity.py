"""Resource quantities (`500m`, `1Gi`) in the canonical form the real server stores.

Rules: k8s.io/apimachinery/pkg/api/resource/quantity.go (CanonicalizeBytes): keep the suffix family, use the largest
suffix that leaves an integer, round up below a nano.
"""

from __future__ import annotations

import re
from fractions import Fraction
from math import ceil
from typing import Any

BINARY = {"Ki": 1, "Mi": 2, "Gi": 3, "Ti": 4, "Pi": 5, "Ei": 6}
DECIMAL = {"n": -9, "u": -6, "m": -3, "": 0, "k": 3, "M": 6, "G": 9, "T": 12, "P": 15, "E": 18}
_FORM = re.compile(r"^([+-]?(?:\d+\.?\d*|\.\d+))([KMGTPE]i|[numkMGTPE]|[eE][+-]?\d+)?$")


def parse(text: str) -> tuple[Fraction, str]:
    """The exact value and the suffix family (`binary`, `decimal`, `exponent`).

    Raises:
        ValueError: `text` is no quantity.
    """
    found = _FORM.match(text)
    if not found:
        raise ValueError("quantities must match the regular expression '^([+-]?[0-9.]+)([eEinumkKMGTP]*[-+]?[0-9]*)$'")
    number, suffix = Fraction(found.group(1)), found.group(2) or ""
    if suffix in BINARY:
        return number * 1024 ** BINARY[suffix], "binary"
    if suffix in DECIMAL:
        return number * Fraction(10) ** DECIMAL[suffix], "decimal"
    return number * Fraction(10) ** int(suffix[1:]), "exponent"


def canonical(value: Any) -> str:
    """The stored form of a quantity given as text or number.

    Raises:
        ValueError: it is no quantity.
    """
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError("quantities must be text or numbers")
    amount, family = parse(str(value).strip())
    sign = "-" if amount < 0 else ""
    nanos = ceil(abs(amount) * 10**9)
    if nanos == 0:
        return "0"
    if family == "binary" and nanos >= 1024 * 10**9 and nanos % 10**9 == 0:
        return sign + _largest_binary(nanos // 10**9)
    if family == "binary" and nanos % 10**9 == 0:
        return f"{sign}{nanos // 10**9}"
    return sign + _largest_decimal(nanos, family)


def _largest_binary(units: int) -> str:
    for suffix, power in reversed(BINARY.items()):
        if units % 1024**power == 0:
            return f"{units // 1024**power}{suffix}"
    return str(units)


def _largest_decimal(nanos: int, family: str) -> str:
    for suffix, power in reversed(DECIMAL.items()):
        unit = 10 ** (power + 9)
        if nanos % unit == 0:
            shown = suffix if family != "exponent" or not power else f"e{power}"
            return f"{nanos // unit}{shown}"
    return f"{nanos}n"
