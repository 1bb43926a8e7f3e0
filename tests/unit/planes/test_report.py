"""The report of a run: its sentence, its Markdown, and what becomes of errors."""

from __future__ import annotations

from typing import Any

import pytest

from infra.clients.errors import DeadlineExceeded, Failed, NotYet
from infra.drift.findings import Finding, PlaneName
from infra.planes import bring, manifests
from infra.planes.bring import Outcome
from infra.planes.clients import Clients
from infra.planes.report import ADVICE, RunReport, StepReport, StepState, step_report
from tests.unit.planes.answering import Answering

DONE = StepReport(
    plane="storage", name="storage", state=StepState.READY, seconds=1.25, made=("StorageClass/default",), sentence="1"
)
FAILED = StepReport(
    plane="cluster",
    name="nodes",
    state=StepState.FAILED,
    seconds=3,
    sentence="a|b failed\r\nsecond line",
    category="Failed",
)
WAITING = StepReport(plane="dns", name="dns", state=StepState.NOT_STARTED, seconds=0, sentence="Not started.")


def report(*steps: StepReport, state: Any = "ready", commit: str | None = "abc1234") -> RunReport:
    return RunReport(
        flow="create-environment", environment="dev", commit=commit, state=state, seconds=12.4, steps=tuple(steps)
    )


def test_the_sentence_of_each_end() -> None:
    assert report(DONE).sentence() == "Environment dev is ready: 1 thing was made or changed."
    idle = DONE.model_copy(update={"made": ()})
    assert report(idle).sentence() == "Environment dev is ready: nothing had to be changed."
    assert report(DONE, state="removed").sentence() == "Environment dev is removed: 1 thing was removed."
    assert report(DONE, FAILED, WAITING, state="failed").sentence() == f"nodes: {FAILED.sentence}"


def test_failures_are_those_that_failed_not_those_that_never_started() -> None:
    assert report(DONE, FAILED, WAITING, state="failed").failures() == [FAILED]


def test_a_failed_run_raises_its_steps_error_where_they_agree() -> None:
    late = FAILED.model_copy(update={"category": "DeadlineExceeded", "hint": "Look there."})
    error = report(DONE, late, late, state="failed").error()
    assert type(error) is DeadlineExceeded
    assert (error.hint or "").count("Look there.") == 1
    assert type(report(late, FAILED, state="failed").error()) is Failed
    assert type(report(FAILED.model_copy(update={"category": None}), state="failed").error()) is Failed


def test_nothing_a_system_says_breaks_the_table() -> None:
    text = report(DONE, FAILED, WAITING, state="failed").markdown()
    tables = [line for line in text.split("\n") if line.startswith("|")]
    assert "\r" not in text
    assert len([line for line in tables if r"a\|b failed second line" in line]) >= 1
    for line in tables:
        assert line.endswith("|")
        assert line.replace(r"\|", "").count("|") == 5


def test_a_failure_comes_with_what_to_do() -> None:
    hinted = FAILED.model_copy(update={"name": "cluster", "hint": "Ask for quota."})
    text = report(FAILED, hinted, state="failed").markdown()
    assert f"- **nodes** (Failed): {ADVICE}" in text
    assert "- **cluster** (Failed): Ask for quota." in text
    assert "What to do" not in report(DONE).markdown()


def test_what_was_written_is_listed() -> None:
    assert "- `StorageClass/default`" in report(DONE).markdown()
    assert "Made, changed or removed" not in report(WAITING).markdown()
    assert "`unknown`" in report(DONE, commit=None).markdown()


@pytest.mark.parametrize(
    ("result", "state", "sentence", "category"),
    [
        (Outcome(PlaneName.DNS, "dns", "in step"), StepState.READY, "in step", None),
        (Outcome.removed(PlaneName.DNS, "dns", ["a"]), StepState.REMOVED, "1 removed", None),
        (Outcome.removed(PlaneName.DNS, "dns", []), StepState.REMOVED, "nothing was there", None),
        (Failed("It broke.", detail="why"), StepState.FAILED, "It broke. (why)", "Failed"),
        (NotYet("It works."), StepState.FAILED, "It works.", "NotYet"),
        (KeyError("token=s3cret"), StepState.FAILED, "KeyError; see the log.", "Error"),
    ],
)
def test_the_row_of_each_result(result: object, state: StepState, sentence: str, category: str | None) -> None:
    row = step_report("dns", "dns", 1.0, result)
    assert (row.state, row.sentence, row.category) == (state, sentence, category)


def test_a_report_survives_the_way_through_json() -> None:
    one = report(DONE, FAILED, WAITING, state="failed")
    assert RunReport.model_validate_json(one.model_dump_json()) == one


# -- bringing into step ---------------------------------------------------------------------------------------------


class Counting:
    """A plane with so many differences, of which each change closes some."""

    def __init__(self, gap: int, closes: int) -> None:
        self.gap = gap
        self.closes = closes
        self.converged = 0

    async def observe(self, wanted: str, clients: Clients) -> int:
        del wanted, clients
        return self.gap

    def compare(self, wanted: str, observed: int) -> list[Finding]:
        return [Finding(plane=PlaneName.DNS, address=f"{wanted}/{n}", sentence=f"{n} is off.") for n in range(observed)]

    async def converge(self, wanted: str, observed: int, findings: list[Finding], clients: Clients) -> list[str]:
        del wanted, observed, clients
        self.converged += 1
        self.gap = max(0, self.gap - self.closes)
        return [finding.address for finding in findings]


async def test_what_is_in_step_is_not_touched(clients: Clients) -> None:
    plane = Counting(0, 1)
    outcome = await bring.bring_into_step(plane, "x", clients, name=PlaneName.DNS, step="names")
    assert (outcome.sentence, outcome.made, outcome.taken_away, plane.converged) == ("in step", (), False, 0)


async def test_a_gap_is_closed_and_looked_at_again(clients: Clients) -> None:
    outcome = await bring.bring_into_step(Counting(2, 2), "x", clients, name=PlaneName.DNS, step="names")
    assert (outcome.sentence, outcome.made) == ("2 made or changed", ("x/0", "x/1"))


@pytest.mark.parametrize(("closes", "detail"), [(2, None), (1, "and 1 more")])
async def test_a_gap_that_stays_is_not_done(clients: Clients, closes: int, detail: str | None) -> None:
    with pytest.raises(NotYet, match="names is not as declared yet: 0 is off") as caught:
        await bring.bring_into_step(Counting(3, closes), "x", clients, name=PlaneName.DNS, step="names")
    assert caught.value.detail == detail


# -- our own objects ------------------------------------------------------------------------------------------------


async def test_an_object_on_its_way_out_counts_as_missing(kubernetes: Answering) -> None:
    first = manifests.namespace("first")
    leaving = {**first["metadata"], "deletionTimestamp": "2026-01-01T00:00:00Z"}
    kubernetes.put({**first, "metadata": leaving})
    (finding,) = manifests.compare(PlaneName.DNS, [first], await manifests.read(kubernetes.client, [first]))
    assert finding.sentence == "Namespace/first is being deleted."
