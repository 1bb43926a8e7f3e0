"""Differences as findings: the sentence, the severity, and nothing that is secret."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import orjson

from infra.drift.difference import Difference
from infra.drift.findings import Finding, PlaneName, Severity
from infra.drift.paths import ABSENT, Path, render
from infra.drift.severity import severity
from infra.drift.veiling import veiled

_SHORT: Final = 60
"""Characters of a value that a sentence quotes; the finding has the whole of it."""


def address(item: Mapping[str, Any]) -> str:
    """`Kind/namespace/name`, or `Kind/name` for what has no namespace; `Kind/beginning*` for a name to be generated."""
    metadata = item["metadata"]
    name = metadata.get("name") or f"{metadata.get('generateName', '')}*"
    return "/".join(part for part in (item["kind"], metadata.get("namespace"), name) if part)


def object_gone(plane: PlaneName, declared: Mapping[str, Any], live: Mapping[str, Any] | None) -> Finding:
    """The finding about an object that is not there, or not for long."""
    where = address(declared)
    how = "is not there" if live is None else "is being deleted"
    return Finding(plane=plane, address=where, sentence=f"{where} {how}.", severity=Severity.DESTRUCTIVE)


def difference_found(plane: PlaneName, item: Mapping[str, Any], difference: Difference) -> Finding:
    """The finding about one difference."""
    kind, path = item["kind"], difference.path
    declared, observed = (_shown(kind, path, each) for each in (difference.declared, difference.observed))
    where, text = address(item), render(path)
    return Finding(
        plane=plane,
        address=where,
        path=text,
        declared=declared,
        observed=observed,
        severity=severity(kind, path, difference.declared, difference.observed),
        changed=difference.changed,
        sentence=f"{where}{text} {_said(difference, declared, observed)}.",
    )


def _said(difference: Difference, declared: Any, observed: Any) -> str:
    if difference.sort == "extra":
        return "is not declared"
    if difference.sort == "removed":
        return "is missing"
    if declared == observed:
        return "is not what is declared (neither value is shown)"
    left, right = _quoted(declared), _quoted(observed)
    return f"is {right} instead of {left}" if left and right else "is not as declared"


def _shown(kind: str, path: Path, value: Any) -> Any:
    return None if value is ABSENT else veiled(kind, path, value)


def _quoted(value: Any) -> str:
    """A value as a sentence has it; empty where it is too long for one."""
    text = orjson.dumps(value).decode()
    return text if len(text) <= _SHORT else ""
