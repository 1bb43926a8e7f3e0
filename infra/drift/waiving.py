"""Which findings a waiver covers today, and which waivers need looking at (pure)."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import date

from infra.drift.findings import Finding
from infra.spec.waivers import Waiver


@dataclass(frozen=True)
class Waived:
    """Findings, sorted by whether they are lived with."""

    alarming: tuple[Finding, ...]
    covered: tuple[Finding, ...]
    notes: tuple[str, ...]
    """A sentence for each waiver that has expired, or that covers nothing."""


def waive(findings: Iterable[Finding], waivers: Sequence[Waiver], today: date, *, looked_everywhere: bool) -> Waived:
    """Sort findings by the waivers in force.

    An expired waiver covers nothing any more: what it covered alarms again, and it is named. One that covers nothing
    is named as well, but only where everything was looked at: what it is about may be in a blind spot.

    Args:
        today: in UTC; a waiver holds on its last day.
        looked_everywhere: whether the check had no blind spot.
    """
    alarming: list[Finding] = []
    covered: list[Finding] = []
    used: set[int] = set()
    for finding in findings:
        about = [index for index, waiver in enumerate(waivers) if waiver.covers(*finding.place)]
        used.update(about)
        in_force = any(today <= waivers[index].expires for index in about)
        (covered if in_force else alarming).append(finding)
    notes = [
        note
        for index, waiver in enumerate(waivers)
        if (note := _note(waiver, index in used, today, looked_everywhere=looked_everywhere))
    ]
    return Waived(tuple(alarming), tuple(covered), tuple(notes))


def _note(waiver: Waiver, used: bool, today: date, *, looked_everywhere: bool) -> str | None:
    what = f"The waiver of {waiver.address}{waiver.path} ({waiver.owner})"
    if used and today > waiver.expires:
        return f"{what} expired on {waiver.expires}: the difference is still there. {waiver.reason}"
    if not used and looked_everywhere:
        return f"{what} covers nothing: there is no such difference. Take it out of the declaration."
    return None
