"""What a reconciliation did: the verdict before, what was changed, the verdict after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.drift.findings import Finding, PlaneState
from infra.drift.verdict import Verdict
from infra.drift.verdict_report import LIGHTS, cell, worst_first
from infra.planes.report import RunReport

Mode = Literal["heal", "preview"]
Outcome = Literal["closed", "still there", "waived", "not known"]


class LeftAlone(BaseModel):
    """In the place of a reconciliation: why there was none."""

    model_config = ConfigDict(frozen=True)

    environment: str
    skipped: str = Field(description="Why nothing was looked at to be changed, in a sentence.")

    @property
    def exit_status(self) -> int:
        """Of a command: 2, since whether the environment is in step was not looked at."""
        return 2

    def sentence(self) -> str:
        """The reason."""
        return f"Nothing was changed. {self.skipped}"

    def markdown(self) -> str:
        """What a person reads of it."""
        return f"# {self.environment}: left alone\n\n{cell(self.sentence())}\n"


class Reconciliation(BaseModel):
    """One reconciliation of an environment with what git declares."""

    model_config = ConfigDict(frozen=True)

    environment: str
    mode: Mode
    before: Verdict
    report: RunReport | None = Field(default=None, description="What was done; none where there was nothing to do.")
    after: Verdict | None = Field(default=None, description="The verdict afterwards; none where nothing was done.")

    @property
    def last(self) -> Verdict:
        """The newest verdict."""
        return self.after or self.before

    @property
    def exit_status(self) -> int:
        """Of a command: that of the newest verdict."""
        return self.last.exit_status

    def outcome(self, finding: Finding) -> Outcome:
        """What the second look says of a finding of the first.

        It says "closed" only of what it has looked at: not in a plane of which something could not be looked at, and
        not while the detector has missed a difference of its own making.
        """
        now = next((plane for plane in self.last.planes if plane.plane is finding.plane), None)
        if now is None:
            return "not known"
        if finding.place in {one.place for one in now.findings}:
            return "still there"
        if finding.place in {one.place for one in now.waived}:
            return "waived"
        looked = now.state is not PlaneState.UNKNOWN and not now.blind_spots and self.last.stale is None
        return "closed" if looked else "not known"

    def sentence(self) -> str:
        """The reconciliation in one sentence."""
        if self.after is not None and self.report is not None:
            return f"Before: {self.before.sentence()} {self.report.sentence()} After: {self.after.sentence()}"
        if self.before.findings:
            return f"{self.before.sentence()} Nothing was changed: this was a preview."
        return f"{self.before.sentence()} Nothing had to be changed."

    def markdown(self) -> str:
        """What a person reads of it."""
        return "\n".join(self._lines()) + "\n"

    def _lines(self) -> Iterator[str]:
        yield f"# {LIGHTS[self.last.state]} {self.environment}: {self.last.state}\n"
        yield f"{cell(self.sentence())}\n"
        yield "| | before | after | plane |\n|---|---|---|---|"
        after = {plane.plane: plane for plane in self.last.planes}
        for plane in self.before.planes:
            now = after[plane.plane]
            yield f"| {LIGHTS[now.state]} | {plane.state} | {now.state} | **{plane.plane}** |"
        found = worst_first(self.before.findings)
        if found:
            yield "\n## What was found\n"
        for finding in found:
            said = f"`{cell(finding.address)}{cell(finding.path)}`: {cell(finding.sentence)}"
            yield f"- {self.outcome(finding)}: {said}"
        if self.report is not None and self.report.writes:
            yield "\n## What was written\n"
            yield from (f"- `{cell(where)}`" for step in self.report.steps for where in step.made)
