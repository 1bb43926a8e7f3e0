"""What a run did, for people and for programs: one row per step, and what to do when one failed."""

from __future__ import annotations

from enum import StrEnum
from typing import Literal

from pydantic import BaseModel, ConfigDict

from infra.clients.errors import PlumblineError, error_class
from infra.drift.verdict_report import cell
from infra.planes.bring import Outcome


class StepState(StrEnum):
    """How a step ended."""

    READY = "ready"
    FAILED = "failed"
    NOT_STARTED = "not started"
    REMOVED = "removed"


LIGHTS = {
    StepState.READY: "\N{LARGE GREEN CIRCLE}",
    StepState.REMOVED: "\N{MEDIUM WHITE CIRCLE}",
    StepState.FAILED: "\N{LARGE RED CIRCLE}",
    StepState.NOT_STARTED: "\N{MEDIUM BLACK CIRCLE}",
}
SEVERITY = (StepState.REMOVED, StepState.READY, StepState.NOT_STARTED, StepState.FAILED)


class StepReport(BaseModel):
    """One row of the report."""

    model_config = ConfigDict(frozen=True)

    plane: str
    name: str
    state: StepState
    seconds: float
    made: tuple[str, ...] = ()
    sentence: str
    category: str | None = None
    """Of the error, where the step failed; a contract that automations match on."""
    hint: str | None = None


class RunReport(BaseModel):
    """What one run did."""

    model_config = ConfigDict(frozen=True)

    flow: str
    environment: str
    commit: str | None
    state: Literal["ready", "removed", "failed"]
    seconds: float
    waited: dict[str, float] = {}
    """Seconds of them during which somebody else was waited for, by whom; calls side by side count once."""
    overhead: float = 0.0
    """Seconds during which nobody was waited for: our own."""
    steps: tuple[StepReport, ...]

    @property
    def writes(self) -> int:
        """How many things were made, changed or removed."""
        return sum(len(step.made) for step in self.steps)

    def failures(self) -> list[StepReport]:
        """The steps that failed, not those that were never started because of them."""
        return [step for step in self.steps if step.state is StepState.FAILED]

    def error(self) -> PlumblineError:
        """What a failed run raises: of its steps' category, where they agree on one."""
        failures = self.failures()
        categories = {step.category for step in failures}
        kind = error_class(categories.pop() if len(categories) == 1 else None)
        hints = dict.fromkeys(step.hint for step in failures if step.hint)
        return kind(self.sentence(), hint=" ".join([*hints, "The run's report (Artifacts) has every step."]))

    def sentence(self) -> str:
        """The run in one sentence."""
        if self.state != "failed":
            counted = "1 thing was" if self.writes == 1 else f"{self.writes} things were"
            done = f"{counted} made or changed" if self.writes else "nothing had to be changed"
            if self.state == "removed":
                done = f"{counted} removed"
            return f"Environment {self.environment} is {self.state}: {done}."
        return " ".join(f"{step.name}: {step.sentence}" for step in self.failures())

    def markdown(self) -> str:
        """The report as Markdown: a light per plane first, then what to do, then every step, then what was written."""
        lines = [f"# {self.environment}: {self.state}", "", cell(self.sentence()), ""]
        lines += [f"Commit `{self.commit or 'unknown'}` · {self.seconds:.0f} s · flow `{self.flow}`", ""]
        lines += ["| | plane | seconds | |", "|---|---|---:|---|", *map(self._light, self._planes())]
        if self.failures():
            lines += ["", "## What to do", ""]
            lines += [f"- **{step.name}** ({step.category}): {cell(step.hint or ADVICE)}" for step in self.failures()]
        lines += ["", "## Steps", "", "| | step | seconds | |", "|---|---|---:|---|"]
        lines += [f"| {LIGHTS[s.state]} | {s.name} | {s.seconds:.1f} | {cell(s.sentence)} |" for s in self.steps]
        made = [f"- `{where}`" for step in self.steps for where in step.made]
        if made:
            lines += ["", "## Made, changed or removed", "", *made]
        return "\n".join(lines) + "\n"

    def _planes(self) -> list[str]:
        return list(dict.fromkeys(step.plane for step in self.steps))

    def _light(self, plane: str) -> str:
        """One row for a plane: its worst step's light, and that step's sentence or how much was written."""
        steps = [step for step in self.steps if step.plane == plane]
        worst = max(steps, key=lambda step: SEVERITY.index(step.state))
        written = sum(len(step.made) for step in steps)
        said = f"{written} written" if written else "in step"
        if worst.state in (StepState.FAILED, StepState.NOT_STARTED):
            said = f"{worst.name}: {worst.sentence}"
        seconds = sum(step.seconds for step in steps)
        return f"| {LIGHTS[worst.state]} | **{plane}** | {seconds:.1f} | {cell(said)} |"


ADVICE = "Mend what the sentence names, then start the flow again: it looks at what is there and goes on."


def step_report(plane: str, name: str, seconds: float, result: object) -> StepReport:
    """The row of a step that ended with `result`: its outcome, or the exception it raised."""
    if isinstance(result, Outcome):
        state = StepState.REMOVED if result.taken_away else StepState.READY
        return StepReport(
            plane=plane, name=name, state=state, seconds=seconds, made=result.made, sentence=result.sentence
        )
    if isinstance(result, PlumblineError):
        return StepReport(
            plane=plane,
            name=name,
            state=StepState.FAILED,
            seconds=seconds,
            sentence=result.sentence,
            category=result.category,
            hint=result.hint,
        )
    # Anything else is a mistake of ours: the type says enough here, the log has the rest.
    return StepReport(
        plane=plane,
        name=name,
        state=StepState.FAILED,
        seconds=seconds,
        sentence=f"{type(result).__name__}; see the log.",
        category="Error",
    )
