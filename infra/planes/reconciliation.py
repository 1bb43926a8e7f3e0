"""What a reconciliation did: the verdict before, what was changed, the verdict after."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field

from infra.drift.verdict import Verdict
from infra.drift.verdict_report import LIGHTS, cell, worst_first
from infra.planes.report import RunReport

Mode = Literal["heal", "preview"]


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
        left = {finding.place for finding in self.last.findings}
        found = worst_first(self.before.findings)
        if found:
            yield "\n## What was found\n"
        for finding in found:
            done = "still there" if finding.place in left else "closed"
            yield f"- {done}: `{cell(finding.address)}{cell(finding.path)}`: {cell(finding.sentence)}"
        if self.report is not None and self.report.writes:
            yield "\n## What was written\n"
            yield from (f"- `{cell(where)}`" for step in self.report.steps for where in step.made)
