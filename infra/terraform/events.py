"""Terraform's machine-readable output, one JSON document a line.

Source: https://developer.hashicorp.com/terraform/internals/machine-readable-ui (version 1.2 of the format).
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

_DOING = {"create": "Creating", "update": "Changing", "delete": "Deleting", "read": "Reading", "replace": "Replacing"}
_NOISE = {"Incomplete lock file information for providers"}
"""Warnings about what is done on purpose: a mirror for one platform."""

_DONE = {"create": "Created", "update": "Changed", "delete": "Deleted", "read": "Read", "replace": "Replaced"}


@dataclass(frozen=True)
class Diagnostic:
    """An error or a warning of terraform or of a provider."""

    severity: str
    summary: str
    detail: str = ""
    address: str | None = None

    @property
    def text(self) -> str:
        """Summary and detail."""
        return f"{self.summary}\n{self.detail}" if self.detail else self.summary


@dataclass(frozen=True)
class Event:
    """One line of output.

    Attributes:
        type: terraform's name of it: version, apply_start, apply_progress, planned_change, diagnostic, …
        message: terraform's own sentence.
        address: the resource it is about.
        action: create, update, delete, read, replace.
        seconds: how long an operation has taken so far.
        identifier: the object's id, once it has one.
    """

    type: str
    message: str
    address: str | None = None
    action: str | None = None
    seconds: float | None = None
    identifier: str | None = None
    diagnostic: Diagnostic | None = None


def parse(line: str) -> Event | None:
    """The event on a line; None for a line that holds none (a provider that prints, a cut line)."""
    if not line.startswith("{"):
        return None
    try:
        document = json.loads(line)
    except json.JSONDecodeError:
        return None
    if not isinstance(document, dict) or "@message" not in document:
        return None
    hook = document.get("hook") or document.get("change") or {}
    found = document.get("diagnostic")
    return Event(
        type=str(document.get("type", "log")),
        message=str(document["@message"]),
        address=(hook.get("resource") or {}).get("addr"),
        action=hook.get("action"),
        seconds=hook.get("elapsed_seconds"),
        identifier=hook.get("id_value"),
        diagnostic=None if found is None else _diagnostic(found),
    )


def _diagnostic(document: dict[str, Any]) -> Diagnostic:
    return Diagnostic(
        severity=str(document.get("severity", "error")),
        summary=str(document.get("summary", "")),
        detail=str(document.get("detail", "")),
        address=document.get("address"),
    )


def sentence(event: Event) -> str | None:
    """What to tell a person about an event; None for what is not worth a line."""
    what, doing = event.address, _DOING.get(event.action or "", "Working on")
    took = f"{event.seconds or 0:g} s"
    identifier = f", id {event.identifier}" if event.identifier else ""
    sentences: dict[str, str | None] = {
        "apply_start": f"{doing} {what}.",
        "apply_progress": f"{doing} {what}, {took} so far.",
        "apply_complete": f"{_DONE.get(event.action or '', 'Finished')} {what} in {took}{identifier}.",
        "apply_errored": f"{doing} {what} failed after {took}.",
        "planned_change": f"Planned: {event.action} {what}.",
        "change_summary": event.message,
        "state_lock_acquire": "Waiting for the state lock, which another terraform holds.",
        "diagnostic": None if event.diagnostic and event.diagnostic.summary in _NOISE else event.message,
    }
    return sentences.get(event.type)


def diagnostics(lines: Iterable[str]) -> list[Diagnostic]:
    """All errors and warnings in a stream of lines."""
    return [event.diagnostic for event in map(parse, lines) if event is not None and event.diagnostic is not None]


def plain_diagnostics(stderr: str) -> list[Diagnostic]:
    """Errors and warnings of a command that has no JSON output (import, state, untaint), run with -no-color."""
    found: list[Diagnostic] = []
    severity, summary, detail = "", "", list[str]()
    for raw in [*stderr.splitlines(), "Error: "]:
        line = raw.lstrip("│╷╵ ") if raw[:1] in "│╷╵" else raw
        start = next((word for word in ("Error", "Warning") if line.startswith(f"{word}: ")), None)
        if start is None:
            detail.append(line)
            continue
        if summary:
            found.append(Diagnostic(severity, summary, "\n".join(detail).strip()))
        severity, summary, detail = start.lower(), line.removeprefix(f"{start}: ").strip(), []
    return found
