"""What is remembered of drift: checks, and the onsets of findings they saw. Plain records, pure.

An *onset* is a finding from the check that first saw it to the check that no longer did. A finding that comes back is
a new onset of the same place, with one `recurrence` more: the history of the first one stays as it was.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from infra.drift.findings import PlaneName, PlaneState, Severity


@dataclass(frozen=True, slots=True)
class PlaneLook:
    """What one check said of one plane."""

    plane: PlaneName
    state: PlaneState
    looked_at: datetime
    seconds: float
    findings: int
    waived: int
    blind_spots: tuple[str, ...]
    """What could not be looked at, and why."""


@dataclass(frozen=True, slots=True)
class CheckSummary:
    """When one check of an environment ran, how it ended, and how punctual it was."""

    id: str
    environment: str
    state: PlaneState
    began: datetime
    ended: datetime
    interval_seconds: float | None
    """From the beginning of the check before it; None for an environment's first."""
    declared_seconds: float | None
    """The interval git declares."""
    latency_seconds: float | None
    """How much later it began than it was due; None where nothing says when that was."""
    duration_seconds: float
    findings: int
    waived: int
    blind_spots: int
    stale: str | None
    """Why it must not be trusted, where that is so."""


@dataclass(frozen=True, slots=True)
class CheckRecord:
    """One check of an environment, with its planes."""

    summary: CheckSummary
    commit: str | None
    flow_run_id: str | None
    planes: tuple[PlaneLook, ...]


@dataclass(frozen=True, slots=True)
class OnsetRecord:
    """A finding from the check that first saw it to the check that no longer did."""

    id: int
    environment: str
    plane: PlaneName
    address: str
    path: str
    recurrence: int
    """How many onsets the same place had before in this environment, as far as is remembered."""
    severity: Severity
    sentence: str
    declared: str | None
    observed: str | None
    changed_who: str | None
    changed_when: datetime | None
    """As the system says; it may lie before what made a finding of it, such as a commit."""
    changed_how: str | None
    arose: datetime | None
    """When it became a finding: `changed_when`, where the last look before it agrees."""
    waived: bool
    first_seen: datetime
    last_seen: datetime
    first_check: str
    cleared_at: datetime | None
    cleared_check: str | None
    """The check that no longer saw it; None while it is open, and where it went with its environment."""
    cleared_run: str | None
    """The run that wrote there in between; None where somebody else repaired it."""
    uncounted_seconds: float = 0.0
    """For how long it was waived, or before it was cleared could not be looked at."""

    @property
    def detect_seconds(self) -> float | None:
        """From the change to the end of the look that first saw it; None where the change's time is unknown."""
        return None if self.arose is None else max(0.0, (self.first_seen - self.arose).total_seconds())

    @property
    def repair_seconds(self) -> float | None:
        """From the look that first saw it to the one that no longer did; None while open, or gone with all else.

        Without the time for which it was waived: nobody was to repair it. And without an outage before it was cleared:
        it may have been repaired at its beginning.
        """
        if self.cleared_at is None or self.cleared_check is None:
            return None
        return max(0.0, (self.cleared_at - self.first_seen).total_seconds() - self.uncounted_seconds)


@dataclass(frozen=True, slots=True)
class Changes:
    """What a check changed about what is known. Nothing waived stands in `found`, `cleared` or `stayed`."""

    check: CheckRecord
    found: tuple[OnsetRecord, ...]
    """New, come back, or no longer waived: each is worth one alarm."""
    cleared: tuple[OnsetRecord, ...]
    """Looked for and no longer there."""
    stayed: tuple[OnsetRecord, ...]
    """Open before, and seen again."""
    unconfirmed: tuple[OnsetRecord, ...]
    """Open before, and neither seen nor cleared, since not all of their plane was looked at."""
    waived: tuple[OnsetRecord, ...]
    """Seen, and covered by a waiver in git."""


@dataclass(frozen=True, slots=True)
class DriftHistory:
    """What is known since a moment."""

    since: datetime
    checks: tuple[CheckSummary, ...]
    """Those that began since then, the oldest first."""
    onsets: tuple[OnsetRecord, ...]
    """Those that were open since then, if only for a while, the oldest first."""
    removed: Mapping[str, datetime] = field(default_factory=dict)
    """When environments were removed last. What was before that is of another one of the same name."""
