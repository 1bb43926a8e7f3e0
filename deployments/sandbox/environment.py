"""`.sandbox/env`: the file people `source`, and the one way to add to it."""

from __future__ import annotations

import re
import shlex
from collections.abc import Mapping
from pathlib import Path

from deployments.sandbox.layout import write

HEADER = "# Made by the sandbox; source it: it points your own commands at the sandbox."
_LINE = re.compile(r"^export (?P<name>[A-Za-z_][A-Za-z0-9_]*)=(?P<value>.*)$")
_PATH = "PLUMBLINE_SANDBOX_PATH"


def parse(text: str) -> dict[str, str]:
    """The variables of such a file, PATH's own part under PLUMBLINE_SANDBOX_PATH."""
    values = {}
    for line in text.splitlines():
        found = _LINE.match(line)
        if found and found["name"] != "PATH":
            values[found["name"]] = "".join(shlex.split(found["value"]))
    return values


def render(variables: Mapping[str, str], path: str) -> str:
    """The file's text; sourced twice, PATH does not grow."""
    lines = [HEADER, *(f"export {name}={shlex.quote(value)}" for name, value in sorted(variables.items()))]
    prefix = shlex.quote(path)
    lines.append(f'case ":$PATH:" in *:{prefix}:*) ;; *) export PATH={prefix}:"$PATH" ;; esac')
    return "\n".join(lines) + "\n"


def merge(file: Path, variables: Mapping[str, str], *, path: tuple[str, ...] = ()) -> None:
    """Set variables in the file and keep what others have set.

    Args:
        variables: by name.
        path: folders to put before PATH; kept from the file when empty.
    """
    values = parse(file.read_text()) if file.exists() else {}
    values.update(variables)
    if path:
        values[_PATH] = ":".join(path)
    write(file, render(values, values.get(_PATH, "")))
