"""The verdict on a whole fleet: one environment a row, the worst first (pure)."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import datetime
from typing import Any

from pydantic import Field

from infra.drift.findings import Finding, Frozen, PlaneState, Severity
from infra.drift.verdict import WORST_FIRST, Verdict
from infra.drift.verdict_report import LIGHTS, cell

FAILED = "\N{LARGE YELLOW CIRCLE}"


class FailedCheck(Frozen):
    """An environment that could not be checked at all."""

    environment: str
    category: str = Field(description="Of the error.")
    why: str


class FleetVerdict(Frozen):
    """What one sweep over every declared environment says."""

    commit: str = Field(description="The commit all of them were compared with, all 40 digits.")
    looked_at: datetime = Field(description="When the sweep began, in UTC.")
    seconds: float = Field(ge=0, description="How long it took.")
    verdicts: tuple[Verdict, ...] = ()
    failed: tuple[FailedCheck, ...] = ()
    strays: tuple[Finding, ...] = Field(default=(), description="What carries our mark although nobody declares it.")
    scheduled: tuple[str, ...] = Field(default=(), description="What was changed of the schedules.")
    notes: tuple[str, ...] = ()

    @property
    def exit_status(self) -> int:
        """Of a command: 0 where everything is in step and was looked at, else 2."""
        clean = all(verdict.exit_status == 0 for verdict in self.verdicts)
        return 0 if clean and not self.failed and not self.strays else 2

    def sentence(self) -> str:
        """The sweep in one sentence."""
        counts = {state: sum(one.state is state for one in self.verdicts) for state in WORST_FIRST}
        said = [f"{count} {state}" for state, count in counts.items() if count]
        said += [f"{len(self.failed)} could not be checked"] if self.failed else []
        said += [f"{len(self.strays)} strays"] if self.strays else []
        total = len(self.verdicts) + len(self.failed)
        return f"{total} environments at {self.commit[:10]}: {', '.join(said) or 'none declared'}."

    def markdown(self) -> str:
        """What a person reads first."""
        return "\n".join(self._lines()) + "\n"

    def rows(self) -> list[dict[str, Any]]:
        """One row for each environment: for a table."""
        return [
            {
                "light": LIGHTS[one.state],
                "environment": one.environment,
                "state": one.state,
                **{str(kind): sum(found.severity is kind for found in one.findings) for kind in reversed(Severity)},
                "not looked at": len(one.blind_spots),
                "looked at": f"{one.looked_at:%Y-%m-%d %H:%M:%S} UTC",
                "seconds": round(one.seconds, 1),
            }
            for one in self._worst_first()
        ]

    def _worst_first(self) -> list[Verdict]:
        return sorted(self.verdicts, key=lambda one: (WORST_FIRST.index(one.state), one.environment))

    def _lines(self) -> Iterator[str]:
        yield f"# Fleet: {cell(self.sentence())}\n"
        yield f"Looked at {self.looked_at:%Y-%m-%d %H:%M:%S} UTC · {self.seconds:.1f} s\n"
        yield from (f"- {cell(note)}" for note in self.notes)
        yield "\n| | environment | |\n|---|---|---|"
        yield from (f"| {FAILED} | **{one.environment}** | {cell(one.why)} |" for one in self.failed)
        for one in self._worst_first():
            said = "in step" if one.state is PlaneState.IN_STEP else one.sentence()
            yield f"| {LIGHTS[one.state]} | **{one.environment}** | {cell(said)} |"
        if self.strays:
            yield "\n## Marked as ours, declared by nobody\n"
        yield from (f"- `{cell(one.address)}`: {cell(one.sentence)}" for one in self.strays)
        if self.scheduled:
            yield "\n## Schedules\n"
        yield from (f"- {cell(one)}" for one in self.scheduled)
