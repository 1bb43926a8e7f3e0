"""What leaves a step is explained, since Prefect keeps an exception's words as the state's message."""

from __future__ import annotations

import inspect

import pytest
from prefect.client.schemas.objects import State, StateType, TaskRun

from infra.clients.errors import Conflict, NotYet, Unavailable, Unforeseen
from infra.clients.masking import MASKER
from tasks.cluster import check_prerequisites
from tasks.step import step, worth_retrying


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
def test_only_what_may_go_better_is_retried(error: Exception, again: bool) -> None:
    state: State[object] = State(type=StateType.FAILED, data=error)
    assert worth_retrying(check_prerequisites, TaskRun.model_construct(task_key="x", dynamic_key="0"), state) is again
