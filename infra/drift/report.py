"""The drift report: what is open, how punctually checks run, how fast drift is found and repaired, and who keeps at it.

`plumbline.dev/drift-report/v1` is published as a JSON Schema. Times are in UTC, durations in seconds; what is not known
is null, never 0.
"""

from __future__ import annotations

from datetime import datetime
from typing import Literal

from pydantic import Field

from infra.drift.findings import Frozen, PlaneName, PlaneState, Severity

SCHEMA: Literal["plumbline.dev/drift-report/v1"] = "plumbline.dev/drift-report/v1"


class Mean(Frozen):
    """A mean over those for which it is known."""

    seconds: float | None = Field(description="The mean; null where it is known of none.")
    longest: float | None = Field(description="The longest; null where it is known of none.")
    known: int = Field(description="How many it is the mean of.")
    of: int = Field(description="How many there were.")


class Onset(Frozen):
    """A finding from the check that first saw it to the check that no longer did."""

    environment: str
    plane: PlaneName
    severity: Severity
    address: str
    path: str = Field(description="Which field; empty for the whole object.")
    sentence: str
    declared: str | None = Field(description="As JSON, masked and shortened.")
    observed: str | None = Field(description="As JSON, masked and shortened.")
    recurrence: int = Field(description="How many onsets the same place had before, as far as is remembered.")
    waived: bool = Field(description="Whether a waiver in git covers it.")
    changed_who: str | None = Field(description="Field manager, user or service that changed it.")
    changed_how: str | None
    changed_when: datetime | None
    first_seen: datetime
    last_seen: datetime
    cleared_at: datetime | None = Field(description="When it was no longer there; null while it is open.")
    cleared_by: str | None = Field(
        description="The run of Plumbline that wrote there in between; null while open, and where somebody else did."
    )
    detect_seconds: float | None = Field(description="From the change to the look that saw it.")
    repair_seconds: float | None = Field(
        description="From the look that saw it to the one that no longer did, without the time for which it was "
        "waived, or at the end could not be looked at."
    )
    open_seconds: float = Field(description="For how long it is or was known to be open.")


class EnvironmentDrift(Frozen):
    """One environment in the report's time."""

    environment: str
    state: Literal["in step", "unknown", "drifted", "removed"] = Field(
        description="As of the last check; unknown also where that was longer ago than it may be."
    )
    sentence: str = Field(description="The state in words.")
    open: int = Field(description="Open findings that no waiver covers.")
    last_check: datetime | None
    overdue: bool = Field(description="Whether the last check is more than two of the declared intervals ago.")
    checks: int
    unknown_checks: int = Field(description="Of them, those that could not look at everything or were not trusted.")
    declared_interval_seconds: float | None
    interval: Mean = Field(description="From the beginning of one check to that of the next.")
    latency: Mean = Field(description="How much later than due checks began.")
    duration: Mean


class Offender(Frozen):
    """An object that drifts, with all of its fields."""

    environment: str
    plane: PlaneName
    address: str
    came_back: int = Field(
        description="How often one of its fields drifted again after it had been repaired, as far as is remembered."
    )
    onsets: int = Field(description="In the report's time.")
    open: int
    open_seconds: float = Field(description="For how long anything of it was open in the report's time.")
    changed_by: tuple[str, ...] = Field(description="Who changed it, the most frequent first.")


class Author(Frozen):
    """Somebody whose changes became findings."""

    who: str | None = Field(description="Field manager, user or service; null for all that say nothing of it.")
    onsets: int
    objects: int
    open: int
    last: datetime = Field(description="When the newest of them was first seen.")


class Level(Frozen):
    """How many findings were open from a moment on."""

    at: datetime
    open: dict[Severity, int]


class CheckMark(Frozen):
    """One check, or several that stand too close together to be told apart."""

    at: datetime
    state: PlaneState = Field(description="The worst of them; not trusted counts as unknown.")
    checks: int


class DriftReport(Frozen):
    """What the ledger says of drift."""

    version: Literal["plumbline.dev/drift-report/v1"] = Field(default=SCHEMA, description="Of this document's shape.")
    environment: str | None = Field(description="Of which environment; null for all.")
    since: datetime
    until: datetime
    environments: tuple[EnvironmentDrift, ...]
    detect: Mean = Field(description="Mean time to detect: findings first seen in the report's time.")
    repair: Mean = Field(description="Mean time to repair: findings cleared in the report's time.")
    repaired_by_us: int = Field(description="Of those cleared, how many a run of Plumbline repaired.")
    offenders: tuple[Offender, ...] = Field(description="The worst first.")
    authors: tuple[Author, ...] = Field(description="The most frequent first.")
    onsets: tuple[Onset, ...] = Field(description="All that were open in the report's time, the oldest first.")
    history: tuple[Level, ...] = Field(description="Open findings over time, each level until the next begins.")
    marks: tuple[CheckMark, ...] = Field(description="When was looked.")

    @property
    def open(self) -> list[Onset]:
        """Open findings that no waiver covers: the gravest first, then the oldest."""
        found = [onset for onset in self.onsets if onset.cleared_at is None and not onset.waived]
        return sorted(found, key=lambda onset: (-onset.severity.rank, onset.first_seen))

    @property
    def waived(self) -> list[Onset]:
        """Open findings that a waiver covers."""
        return [onset for onset in self.onsets if onset.cleared_at is None and onset.waived]

    @property
    def state(self) -> PlaneState:
        """The worst of its environments; of none, nothing is known."""
        states = {one.state for one in self.environments if one.state != "removed"} or {"unknown"}
        return next(s for s in (PlaneState.DRIFTED, PlaneState.UNKNOWN, PlaneState.IN_STEP) if s in states)

    def sentence(self) -> str:
        """The report in one sentence."""
        there = [one for one in self.environments if one.state != "removed"]
        if not there:
            return self._nothing()
        drifted = sum(one.open > 0 for one in there)
        unknown = [one for one in there if one.state == "unknown"]
        if self.open:
            said = f"{counted(len(self.open), 'finding')} open in {drifted} of {counted(len(there), 'environment')}"
        elif len(unknown) < len(there):
            said = f"No open drift in {counted(len(there) - len(unknown), 'environment')}"
        elif len(there) == 1:
            return f"Whether environment {there[0].environment} has drifted is not known: {there[0].sentence}."
        else:
            return f"Of none of {len(there)} environments it is known whether it has drifted."
        return f"{said}{f'; of {len(unknown)} it is not known' if unknown else ''}."

    def _nothing(self) -> str:
        """The sentence where no environment stands."""
        if not self.environments:
            return "No environment was looked at yet: python -m flows.check_drift NAME looks at one."
        if len(self.environments) == 1:
            return f"Environment {self.environments[0].environment} was {self.environments[0].sentence}."
        return f"None of {counted(len(self.environments), 'environment')} stands any more."


def counted(number: int, what: str) -> str:
    """A number and what it counts."""
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
