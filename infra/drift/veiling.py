"""What a finding must not show: values of Secrets, and what stands under a secret's name elsewhere.

Passwords belong into Secrets, and are found in environment variables, arguments, ConfigMaps, and custom resources all
the same. A name that ends like a secret's hides its text; names of Secrets (`secretName`, `…Ref`) do not end so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any, Final

from infra.clients.masking import HIDDEN, mask
from infra.drift.paths import Item, Path

_SECRETIVE: Final = re.compile(
    r"(passw(or)?d|passphrase|secret|token|credentials?|(api|access|private|secret|encryption|signing)[-_.]?key)$", re.I
)
_ARGUMENT: Final = re.compile(r"^(--?[\w.-]+)=.+$", re.S)


def veiled(kind: str, path: Path, value: Any) -> Any:
    """A value of an object as it may be shown.

    Args:
        kind: of the object.
        path: where in it the value stands.
        value: as JSON has it.
    """
    if kind == "Secret" and path[:1] in (("data",), ("stringData",)):
        return HIDDEN
    return _veiled(value, _name(path))


def _name(path: Path) -> str:
    """What a value is called: its key, or for the value of an environment variable, the variable."""
    last, before = path[-1:], path[-2:-1]
    if last == ("value",) and before and isinstance(before[0], Item):
        return str(dict(before[0].keys).get("name", "value"))
    return next((step for step in reversed(path) if isinstance(step, str)), "")


def _veiled(value: Any, name: str) -> Any:
    if isinstance(value, Mapping):
        called = value.get("name")
        variable = str(called) if called and "value" in value else "value"
        return {key: _veiled(each, variable if key == "value" else key) for key, each in value.items()}
    if isinstance(value, list):
        return [_veiled(each, name) for each in value]
    if not isinstance(value, str) or not value:
        return value
    argument = _ARGUMENT.match(value)
    if argument and _SECRETIVE.search(argument[1]):
        return f"{argument[1]}={HIDDEN}"
    return HIDDEN if _SECRETIVE.search(name) else mask(value)
