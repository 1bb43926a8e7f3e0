"""A verdict as people read it, in ten seconds: lights first, then the differences, field by field (pure)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from typing import Any

from infra.drift.findings import Finding, PlaneState, PlaneVerdict
from infra.drift.verdict import Verdict

LIGHTS = {
    PlaneState.IN_STEP: "\N{LARGE GREEN CIRCLE}",
    PlaneState.UNKNOWN: "\N{MEDIUM BLACK CIRCLE}",
    PlaneState.DRIFTED: "\N{LARGE RED CIRCLE}",
}
SHOWN = 50
"""Findings a report quotes in full; Prefect's page of one with thousands would not open."""
QUOTED = 160
"""Characters of a value in a report."""


def markdown(verdict: Verdict, *, line_break: str = "<br>") -> str:
    """The whole report as Markdown.

    Args:
        line_break: within an item of a list. Prefect's page puts other breaks further apart than two items.
    """
    parts = [_head(verdict), _differences(verdict, line_break), _unseen(verdict), _waived(verdict)]
    return "\n".join(line for part in parts for line in part) + "\n"


def text(verdict: Verdict) -> str:
    """The same for whoever reads Markdown as it is, in a terminal."""
    return markdown(verdict, line_break="  \n  ")


def rows(verdict: Verdict) -> list[dict[str, Any]]:
    """One row for each finding, then one for each blind spot: for a table."""
    found = [
        {
            "light": LIGHTS[PlaneState.DRIFTED],
            "plane": finding.plane,
            "severity": finding.severity,
            "address": finding.address,
            "path": finding.path,
            "declared": quoted(finding.declared),
            "observed": quoted(finding.observed),
            "changed by": str(finding.changed or ""),
        }
        for finding in worst_first(verdict.findings)
    ]
    blind = [
        {
            "light": LIGHTS[PlaneState.UNKNOWN],
            "plane": spot.plane,
            "severity": PlaneState.UNKNOWN,
            "address": spot.what,
            "path": "",
            "declared": "",
            "observed": spot.why,
            "changed by": "",
        }
        for spot in verdict.blind_spots
    ]
    return found + blind


def _head(verdict: Verdict) -> Iterator[str]:
    stale = " (stale)" if verdict.stale else ""
    yield f"# {LIGHTS[verdict.state]} {verdict.environment}: {verdict.state}{stale}"
    yield f"\n{line(verdict.sentence())}\n"
    when = f"{verdict.looked_at:%Y-%m-%d %H:%M:%S} UTC"
    yield f"Commit `{verdict.commit[:10]}` · looked at {when} · {verdict.seconds:.1f} s\n"
    yield from (f"- {line(note)}" for note in verdict.notes)
    yield "\n| | plane | |\n|---|---|---|"
    yield from (f"| {LIGHTS[plane.state]} | **{plane.plane}** | {_plane(plane)} |" for plane in verdict.planes)


def _differences(verdict: Verdict, line_break: str) -> Iterator[str]:
    """A list and no table: paths and values are long, and what is beyond a page's edge nobody reads."""
    found = worst_first(verdict.findings)
    if found:
        yield "\n## Differences\n"
    for one in found[:SHOWN]:
        yield f"- **{one.severity}** {line_break.join([_place(one), *_difference(one)])}"
    if len(found) > SHOWN:
        yield f"\n… and {len(found) - SHOWN} more; the table and the JSON document have them all."


def _place(one: Finding) -> str:
    """Address and path apart, as a waiver has them."""
    return " ".join(f"`{line(part)}`" for part in one.place if part)


def _difference(one: Finding) -> Iterator[str]:
    # Of a whole object there are no two values to put side by side: the sentence says it.
    yield f"declared {code(one.declared)}, observed {code(one.observed)}" if one.path else line(one.sentence)
    if one.changed:
        yield f"changed by {line(str(one.changed))}"


def _unseen(verdict: Verdict) -> Iterator[str]:
    if verdict.blind_spots:
        yield "\n## Not looked at\n"
    yield from (f"- **{spot.plane}** `{line(spot.what)}`: {line(spot.why)}" for spot in verdict.blind_spots)


def _waived(verdict: Verdict) -> Iterator[str]:
    waived = [finding for plane in verdict.planes for finding in plane.waived]
    if waived:
        yield "\n## Waived\n"
    yield from (f"- {_place(one)}: {line(one.sentence)}" for one in waived)


def _plane(plane: PlaneVerdict) -> str:
    said = []
    if plane.findings:
        worst = worst_first(plane.findings)[0]
        more = f", and {len(plane.findings) - 1} more" if len(plane.findings) > 1 else ""
        said.append(f"{worst.sentence.removesuffix('.')}{more}")
    if plane.blind_spots:
        said.append(f"not looked at: {plane.blind_spots[0].what}: {plane.blind_spots[0].why}")
    return cell(" · ".join(said) or "in step")


def worst_first(findings: Iterable[Finding]) -> list[Finding]:
    """By severity, the worst first; within one, as they were found."""
    return sorted(findings, key=lambda finding: -finding.severity.rank)


def quoted(value: object) -> str:
    """A value as a report shows it: short, on one line."""
    if value is None:
        return "-"
    text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, sort_keys=True)
    return text if len(text) <= QUOTED else f"{text[:QUOTED]}… ({len(text) - QUOTED} more characters)"


def code(value: object) -> str:
    """A value as code: nothing in it is taken for Markdown."""
    if value is None:
        return "nothing"
    return "`{}`".format(line(quoted(value)) or '""')


def cell(text: str) -> str:
    """A text that breaks no table of Markdown."""
    return line(text).replace("|", "\\|")


def line(text: str) -> str:
    """A text that breaks no line of Markdown, and no code in it: every kind of line end ends one."""
    return " ".join(text.splitlines()).replace("`", "'")
