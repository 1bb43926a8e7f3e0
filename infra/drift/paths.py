"""Where in an object something is: paths of steps, how they read, and how to follow them.

```
path   = step*                       the whole object when empty
step   = "." name                    a field, or a map's key of letters, digits, - and _:   .spec.replicas
       | '["' key '"]'               any other key, as JSON text:    .metadata.annotations["example.org/team"]
       | "[" n "]"                   the n-th item of a list whose items have no key, from 0:    .args[2]
       | "[" k "=" v ("," k "=" v)* "]"    the item of a keyed list:    .containers[name=web]
                                                               .ports[containerPort=80,protocol=TCP]
       | "[=" v "]"                  a member of a set:    .metadata.finalizers[=example.org/wait]
```

`v` stands bare where it holds none of `[]=,"` and no space, otherwise as JSON text. These are the paths kubectl prints
for conflicts of server-side apply, with fewer quotes.
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

_PLAIN = re.compile(r"^[A-Za-z0-9_-]+$")
_BARE = re.compile(r'^[^\s\[\]=,"]+$')


class Item(NamedTuple):
    """The step to the item of a keyed list that has these values in its key fields."""

    keys: tuple[tuple[str, Any], ...]


class Member(NamedTuple):
    """The step to a scalar of a set."""

    value: Any


Step = str | int | Item | Member
Path = tuple[Step, ...]


class _Absent:
    """What is not there, since `null` can be."""

    def __repr__(self) -> str:
        return "absent"


ABSENT: Final = _Absent()


def render(path: Path) -> str:
    """The path as text."""
    return "".join(map(_step, path))


def _step(step: Step) -> str:
    if isinstance(step, str):
        return f".{step}" if _PLAIN.match(step) else f"[{orjson.dumps(step).decode()}]"
    if isinstance(step, Item):
        return "[" + ",".join(f"{key}={_value(value)}" for key, value in step.keys) + "]"
    if isinstance(step, Member):
        return f"[={_value(step.value)}]"
    return f"[{step}]"


def _value(value: Any) -> str:
    return value if isinstance(value, str) and _BARE.match(value) else orjson.dumps(value).decode()


def follow(item: Any, path: Path) -> Any:
    """What is at `path` in `item`; `ABSENT` where nothing is."""
    for step in path:
        item = _enter(item, step)
        if item is ABSENT:
            break
    return item


def _enter(item: Any, step: Step) -> Any:
    if isinstance(step, str):
        return item.get(step, ABSENT) if isinstance(item, Mapping) else ABSENT
    if not isinstance(item, list):
        return ABSENT
    if isinstance(step, int):
        return item[step] if step < len(item) else ABSENT
    if isinstance(step, Member):
        return step.value if step.value in item else ABSENT
    for each in item:
        if isinstance(each, Mapping) and key_of(each, [key for key, _ in step.keys]) == step:
            return each
    return ABSENT


KEY_DEFAULTS: Final = {"protocol": "TCP"}
"""What an absent or an empty key field counts as."""


def key_of(item: Mapping[str, Any], fields: Sequence[str]) -> Item | None:
    """The step to `item` in a list keyed by `fields`; None where it lacks one or holds something else than a scalar."""
    found = []
    for field in fields:
        value = item.get(field)
        if value in (None, ""):
            value = KEY_DEFAULTS.get(field, value)
        if value is None or isinstance(value, dict | list):
            return None
        found.append((field, value))
    return Item(tuple(found))


def pointer(text: str) -> tuple[str, ...]:
    """The segments of a JSON pointer (RFC 6901)."""
    return tuple(part.replace("~1", "/").replace("~0", "~") for part in text.split("/")[1:])
