"""What leaves a step is explained, since Prefect keeps an exception's words as the state's message."""

from __future__ import annotations

import inspect

import pytest
from prefect.client.schemas.objects import State, StateType, TaskRun

from infra.clients.errors import Conflict, NotYet, Unavailable, Unforeseen
from infra.clients.masking import MASKER
from tasks.cluster import check_prerequisites
from tasks.step import PATIENCE, pauses, step, worth_retrying


async def test_an_exception_of_no_client_is_masked_and_not_retried() -> None:
    MASKER.learn("hunter2-of-the-step")

    @step("x", timeout=5)
    async def broken() -> None:
        """Break."""
        raise ValueError("cannot reach https://me:hunter2-of-the-step@cloud.example.org: hunter2-of-the-step")

    with pytest.raises(Unforeseen) as caught:
        await broken.fn()
    assert "hunter2" not in str(caught.value)
    assert "ValueError" in str(caught.value)


@pytest.mark.parametrize(("raised", "seen"), [(NotYet("soon"), NotYet), (TimeoutError(), Unavailable)])
async def test_explained_errors_keep_their_meaning(raised: Exception, seen: type[Exception]) -> None:
    @step("x", timeout=5)
    async def waiting() -> None:
        """Wait."""
        raise raised

    with pytest.raises(seen):
        await waiting.fn()


def test_a_step_keeps_its_functions_name_parameters_and_first_line() -> None:
    assert check_prerequisites.name == "check-prerequisites"
    assert list(inspect.signature(check_prerequisites.fn).parameters) == ["environment", "clients", "after"]
    assert (check_prerequisites.description or "").startswith("Look whether cloud")


@pytest.mark.parametrize(("error", "again"), [(Conflict("x"), True), (Unforeseen("x"), False)])
async def test_only_what_may_go_better_is_retried(error: Exception, again: bool) -> None:
    assert await worth_retrying(check_prerequisites, _run(1), _failed(error)) is again


async def test_a_servers_own_retry_after_is_waited_for_but_not_for_ever(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr("asyncio.sleep", sleep)
    for asked in (3.0, 4000.0):
        assert await worth_retrying(check_prerequisites, _run(1), _failed(Conflict("x", retry_after=asked)))
    assert slept == [3.0, PATIENCE]


async def test_a_timeout_gets_one_more_attempt() -> None:
    timed_out: State[object] = State(type=StateType.FAILED, name="TimedOut")
    assert await worth_retrying(check_prerequisites, _run(1), timed_out)
    assert not await worth_retrying(check_prerequisites, _run(2), timed_out)


def test_pauses_grow_to_a_bound() -> None:
    assert pauses(7) == [1, 2, 4, 8, 10, 10, 10]


def _run(count: int) -> TaskRun:
    return TaskRun.model_construct(task_key="x", dynamic_key="0", run_count=count)


def _failed(error: Exception) -> State[object]:
    return State(type=StateType.FAILED, data=error)
