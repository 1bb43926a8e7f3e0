"""A check that need not be made twice, however many have piled up."""

from __future__ import annotations

from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID, uuid4

import pytest
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.exceptions import ObjectNotFound
from prefect.states import Completed, Pending, Running, Scheduled, State

from tasks import superseding

NOW = datetime.now(UTC)
DEPLOYMENT = uuid4()
STATES: dict[StateType, Any] = {
    StateType.RUNNING: Running,
    StateType.COMPLETED: Completed,
    StateType.PENDING: Pending,
    StateType.SCHEDULED: Scheduled,
}


@pytest.fixture(autouse=True)
def today(monkeypatch: pytest.MonkeyPatch) -> None:
    """A test may begin long after its module was imported."""
    monkeypatch.setitem(globals(), "NOW", datetime.now(UTC))


def run(
    kind: StateType, *, due: float, began: float | None = None, called: str | None = None, **parameters: Any
) -> FlowRun:
    """A check of dev.

    Args:
        due: seconds from now, as `began`.
        called: the state, where not as its type.
    """
    start = None if began is None else NOW + timedelta(seconds=began)
    state: State[Any] = STATES[kind](name=called) if called else STATES[kind]()
    if start is not None:
        state.timestamp = start
    given = {"name": "dev"} | parameters
    return FlowRun(
        flow_id=uuid4(),
        deployment_id=DEPLOYMENT,
        name=f"check {given['name']}" if start else "jolly-heron",
        state=state,
        state_type=state.type,
        state_name=state.name,
        start_time=start,
        expected_start_time=NOW + timedelta(seconds=due),
        parameters=given,
    )


class Prefect:
    """Its flow runs, answered as the API does: at most so many at a time, and those that the filter names."""

    AT_A_TIME = 200

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.runs: list[FlowRun] = []
        self.asked = 0

        @asynccontextmanager
        async def client() -> Any:
            yield self

        monkeypatch.setattr(superseding, "get_client", client)

    async def read_flow_runs(
        self, *, deployment_filter: Any, flow_run_filter: Any, sort: Any, offset: int
    ) -> list[FlowRun]:
        del sort
        self.asked += 1
        assert deployment_filter.id.any_ == [DEPLOYMENT]
        found = [one for one in self.runs if self._matches(one, flow_run_filter)]
        return found[offset : offset + self.AT_A_TIME]

    async def read_flow_run(self, flow_run_id: UUID) -> FlowRun:
        found = [one for one in self.runs if one.id == flow_run_id]
        if not found:
            raise ObjectNotFound(Exception("404"))
        return found[0]

    @staticmethod
    def _matches(one: FlowRun, which: Any) -> bool:
        if one.id in which.id.not_any_ or one.state_type not in which.state.type.any_:
            return False
        if which.name is not None and one.name not in which.name.any_:
            return False
        if which.start_time is not None and not (one.start_time and one.start_time >= which.start_time.after_):
            return False
        between, due = which.expected_start_time, one.expected_start_time
        return between is None or (due is not None and between.after_ <= due <= between.before_)


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    return Prefect(monkeypatch)


async def superseded(mine: FlowRun) -> str | None:
    # Prefect tells a run its state, and not when it began.
    return await superseding.superseded(mine.model_copy(update={"start_time": None}), timedelta(minutes=20))


async def test_of_two_checks_at_work_the_later_steps_back(prefect: Prefect) -> None:
    first, second = run(StateType.RUNNING, due=-61, began=-60), run(StateType.RUNNING, due=-2, began=-1)
    prefect.runs = [first, second]
    assert await superseded(first) is None
    assert "is at work since" in str(await superseded(second))


async def test_of_two_that_began_in_the_same_moment_one_goes_on(prefect: Prefect) -> None:
    prefect.runs = [run(StateType.RUNNING, due=-2, began=-1) for _ in range(2)]
    assert [await superseded(one) is None for one in prefect.runs].count(True) == 1


async def test_a_check_that_lost_its_process_holds_nobody_up(prefect: Prefect) -> None:
    lost, mine = run(StateType.RUNNING, due=-7200, began=-7200), run(StateType.RUNNING, due=-1, began=0)
    prefect.runs = [lost, mine]
    assert await superseded(mine) is None


async def test_of_checks_that_have_piled_up_only_the_last_is_made(prefect: Prefect) -> None:
    mine = run(StateType.RUNNING, due=-900, began=0)
    prefect.runs = [mine, run(StateType.SCHEDULED, due=900), run(StateType.SCHEDULED, due=-5, name="staging")]
    assert await superseded(mine) is None
    prefect.runs.append(run(StateType.SCHEDULED, due=-5))
    assert "is due already" in str(await superseded(mine))


async def test_one_that_was_due_before_it_is_not_waited_for(prefect: Prefect) -> None:
    mine = run(StateType.RUNNING, due=-5, began=0)
    prefect.runs = [mine, run(StateType.SCHEDULED, due=-900)]
    assert await superseded(mine) is None


@pytest.mark.parametrize("state", [StateType.SCHEDULED, StateType.COMPLETED])
async def test_what_says_so_is_found_among_any_number_of_others(prefect: Prefect, state: StateType) -> None:
    mine = run(StateType.RUNNING, due=-900, began=0)
    prefect.runs = [run(state, due=-600, began=-600, name=f"env-{number}") for number in range(450)]
    # Those that are over have a name, by which they are told apart; the others have none yet.
    for other in prefect.runs:
        other.name = "check dev"
    assert await superseded(mine) is None
    prefect.runs.append(run(state, due=-600, began=-590))
    assert await superseded(mine) is not None


async def test_a_late_check_is_not_made_once_a_later_one_has_answered(prefect: Prefect) -> None:
    mine, later = run(StateType.RUNNING, due=-900, began=0), run(StateType.COMPLETED, due=-600, began=-590)
    prefect.runs = [mine, run(StateType.COMPLETED, due=-1800, began=-1790)]
    assert await superseded(mine) is None
    prefect.runs.append(run(StateType.COMPLETED, due=-600, began=-590, called=superseding.SKIPPED))
    assert await superseded(mine) is None
    prefect.runs.append(later)
    assert "was made at" in str(await superseded(mine))


async def test_one_that_is_being_started_steps_back_itself(prefect: Prefect) -> None:
    """Did both, no check would be made: it sees this one at work, whatever this one does about it."""
    mine, other = run(StateType.RUNNING, due=-900, began=-1), run(StateType.PENDING, due=-5)
    prefect.runs = [mine, other]
    assert await superseded(mine) is None
    begun = other.model_copy(update={"state": Running(), "state_type": StateType.RUNNING, "start_time": NOW})
    prefect.runs = [mine, begun]
    assert "is at work since" in str(await superseded(begun))


@pytest.mark.parametrize(
    ("ours", "theirs", "answered"),
    [
        ({"canary": True}, {}, False),
        ({}, {"canary": True}, True),
        ({"canary": True}, {"canary": True}, True),
        ({}, {"commit": "f" * 40}, False),
    ],
)
async def test_only_who_asks_as_much_answers_for_another(
    prefect: Prefect, ours: dict[str, Any], theirs: dict[str, Any], answered: bool
) -> None:
    mine = run(StateType.RUNNING, due=-5, began=0, **ours)
    prefect.runs = [mine, run(StateType.RUNNING, due=-60, began=-60, **theirs)]
    assert (await superseded(mine) is not None) is answered


async def test_on_time_it_takes_two_questions(prefect: Prefect) -> None:
    mine = run(StateType.RUNNING, due=-1, began=0)
    prefect.runs = [mine]
    assert await superseded(mine) is None
    assert prefect.asked == 2


async def test_only_what_prefect_knows_to_be_over_is_over(prefect: Prefect) -> None:
    prefect.runs = [run(StateType.RUNNING, due=-5, began=-1), run(StateType.COMPLETED, due=-5, began=-1)]
    assert [await superseding.ended(str(one.id)) for one in prefect.runs] == [False, True]
    assert [await superseding.ended(unknown) for unknown in (None, str(uuid4()))] == [False, False]
