"""The local state as it stands, read beside whoever writes it: a copy, and who is at work on the original.

Nothing here takes a lock, waits for one, or writes beside the state.
"""

from __future__ import annotations

import fcntl
import json
import struct
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from infra.clients.errors import Conflict

ATTEMPTS = 20
PAUSE = 0.1
"""Seconds between two attempts: terraform writes the file in place, and within a few milliseconds."""

_FLOCK = "hhqqi4x"
"""Linux's struct flock: type, whence, start, length, pid."""


@dataclass(frozen=True)
class Holder:
    """Whoever holds the state's lock, as far as its note says."""

    who: str | None = None
    since: str | None = None
    operation: str | None = None

    def sentence(self, environment: str) -> str:
        """What is going on, in words."""
        doing = {"OperationTypeApply": " (apply)", "OperationTypePlan": " (plan)"}.get(self.operation or "", "")
        who = f", {self.who}{doing}" if self.who else doing
        since = f", since {self.since}" if self.since else ""
        return f"A run is at work on the Terraform state of {environment}{who}{since}."


def read(state: Path, *, pause: Callable[[float], None] = time.sleep) -> str | None:
    """The text of a local state; None where nothing was ever applied, or the file is lost.

    A copy taken in the middle of a write is half a document, and is taken again. A file that stays empty is one that
    terraform made to lock it, before it had anything to write.

    Raises:
        Conflict: it is no JSON document, and does not become one.
    """
    for attempt in range(ATTEMPTS):
        if attempt:
            pause(PAUSE)
        try:
            text = state.read_text()
        except FileNotFoundError:
            return None
        try:
            json.loads(text)
        except ValueError:
            continue
        return text
    if not text.strip():
        return None
    raise Conflict(
        f"The Terraform state {state.name} is not whole.",
        hint="It is being written, or it is damaged: terraform keeps the one before in terraform.tfstate.backup.",
        retry_after=5,
    )


def tainted(text: str | None) -> frozenset[str]:
    """The addresses of what a state doubts, as Terraform writes them (pure)."""
    resources = json.loads(text).get("resources") or [] if text else []
    found = set()
    for resource in resources:
        for instance in resource.get("instances") or []:
            if instance.get("status") == "tainted":
                key = f"[{json.dumps(instance['index_key'])}]" if "index_key" in instance else ""
                found.add(f"{resource['type']}.{resource['name']}{key}")
    return frozenset(found)


def holder(state: Path) -> Holder | None:
    """Who holds the lock on a local state now; None when nobody does.

    Terraform locks the file itself and writes who it is beside it; that note outlives a killed process, the lock does
    not. So the lock is looked at (F_GETLK, which takes nothing), and the note only says whose it is.
    """
    try:
        with state.open("rb") as file:
            asked = struct.pack(_FLOCK, fcntl.F_WRLCK, 0, 0, 0, 0)
            kind = struct.unpack(_FLOCK, fcntl.fcntl(file, fcntl.F_GETLK, asked))[0]
    except OSError:  # no state, or a file system without locks: nobody can hold it
        return None
    return None if kind == fcntl.F_UNLCK else _noted(state)


def _noted(state: Path) -> Holder:
    note = state.with_name(f".{state.name}.lock.info")
    try:
        said: dict[str, Any] = {**json.loads(note.read_text())}
    except (OSError, ValueError, TypeError):  # not written yet, or gone already
        return Holder()
    return Holder(*(str(said[name]) if said.get(name) else None for name in ("Who", "Created", "Operation")))
