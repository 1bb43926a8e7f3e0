"""The small part of JSONPath that CRDs use: dotted names, `[0]`, `[*]` and `[?(@.type=="Ready")]`."""

from __future__ import annotations

import re
from functools import cache
from typing import Any

_STEP = re.compile(
    r"""\.?(?:
    (?P<name>[^.\[\]\\]+(?:\\.[^.\[\]\\]+)*)
    |\['(?P<quoted>[^']+)'\]
    |\[(?P<index>-?\d+|\*)\]
    |\[\?\(\s*@\.(?P<field>[^=!<>\s)]+)\s*==\s*["'](?P<value>[^"']*)["']\s*\)\]
    )""",
    re.VERBOSE,
)


@cache
def _steps(path: str) -> tuple[tuple[str, str, str], ...]:
    path = path.strip().removeprefix("{").removesuffix("}")
    steps, position = [], 0
    while position < len(path):
        found = _STEP.match(path, position)
        if not found:
            raise ValueError(f"unsupported JSONPath {path!r} at {position}")
        position = found.end()
        if found["index"] is not None:
            steps.append(("index", found["index"], ""))
        elif found["field"] is not None:
            steps.append(("filter", found["field"], found["value"]))
        else:
            name = found["quoted"] or found["name"].replace("\\.", ".")
            steps.append(("name", name, ""))
    return tuple(steps)


def find(path: str, item: Any) -> list[Any]:
    """Every value at `path` (`.status.conditions[?(@.type=="Ready")].status`)."""
    values = [item]
    for sort, name, wanted in _steps(path):
        if sort == "name":
            values = [value[name] for value in values if isinstance(value, dict) and name in value]
        elif sort == "index":
            values = [picked for value in values if isinstance(value, list) for picked in _pick(value, name)]
        else:
            values = [
                element
                for value in values
                if isinstance(value, list)
                for element in value
                if [str(found) for found in find(name, element)] == [wanted]
            ]
    return values


def _pick(value: list[Any], index: str) -> list[Any]:
    if index == "*":
        return value
    position = int(index)
    return [value[position]] if -len(value) <= position < len(value) else []
