"""The one kind of task Plumbline has: retried by the type of its error, bounded in time, never cached."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.tasks import Task, exponential_backoff

from infra.clients.errors import Temporary

P = ParamSpec("P")
R = TypeVar("R")

After = Sequence[object]
"""Results of the steps this one comes after: handed over so that the run graph shows the edge."""

RETRIES = 4
FIRST_PAUSE = 2.0
"""Seconds before the first retry; each further pause is twice as long, and jittered."""


def worth_retrying(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether another attempt may succeed: the error says so by its type; a timeout gets another attempt too."""
    return isinstance(state.data, Temporary | TimeoutError) or (
        state.type == StateType.FAILED and state.name == "TimedOut"
    )


def step(name: str, *, timeout: float, retries: int = RETRIES) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a Prefect task of a coroutine function.

    Steps are awaited directly, never submitted: only then does a timeout or a cancellation reach the child program a
    step may be waiting for. They keep no result: after a crash a step looks again instead of remembering.

    Args:
        name: its name template in the UI; `{parameter}` is filled in.
        timeout: seconds one attempt may take.
        retries: attempts after the first, for `Temporary` errors only.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        return task(
            name=function.__name__.replace("_", "-"),
            task_run_name=name,
            description=(function.__doc__ or "").strip().splitlines()[0],
            retries=retries,
            retry_delay_seconds=exponential_backoff(backoff_factor=FIRST_PAUSE),
            retry_jitter_factor=0.5,
            retry_condition_fn=worth_retrying,
            timeout_seconds=timeout,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(function)

    return decorate
