"""The one kind of task Plumbline has: retried by the type of its error, bounded in time, never cached."""

from __future__ import annotations

import asyncio
import functools
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, ParamSpec, TypeVar, cast

from prefect import task
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType, TaskRun
from prefect.tasks import Task

from infra.clients.errors import Temporary, explained

P = ParamSpec("P")
R = TypeVar("R")

After = Sequence[object]
"""Results of the steps this one comes after: handed over so that the run graph shows the edge."""

RETRIES = 20
"""Attempts after the first.

A step is more than its own requests: Magnum asks Keystone, Nova and Glance a dozen things before it accepts a template,
and helm sends some eighty requests that it does not repeat. Where each of those fails with 8 %, every third template is
accepted; a run makes a template, a cluster and a node group, and what is made stays made. The odds that twenty retries
are not enough for that are 1 in 1000; four were not enough in 2 of 5 runs.
"""
FIRST_PAUSE, LONGEST_PAUSE = 1.0, 10.0
"""Seconds before the first retry and at most; each pause is twice as long as the last, and jittered."""
PATIENCE = 60.0
"""Seconds of a server's own Retry-After that are waited for in addition, at most."""


async def worth_retrying(_task: Task[..., Any], run: TaskRun, state: State[Any]) -> bool:
    """Whether another attempt may succeed: the error says so by its type; a timeout gets one more attempt.

    Where the error says how long it will take, that is waited for here: Prefect's pauses are fixed beforehand.
    """
    if isinstance(state.data, Temporary):
        await asyncio.sleep(min(state.data.retry_after or 0.0, PATIENCE))
        return True
    timed_out = isinstance(state.data, TimeoutError) or (state.type == StateType.FAILED and state.name == "TimedOut")
    return timed_out and run.run_count <= 1


def pauses(retries: int) -> list[float]:
    """Seconds before each retry (pure)."""
    return [min(LONGEST_PAUSE, FIRST_PAUSE * 2.0**number) for number in range(retries)]


def step(name: str, *, timeout: float, retries: int = RETRIES) -> Callable[[Callable[P, R]], Task[P, R]]:
    """Make a Prefect task of a coroutine function.

    Steps are awaited directly, never submitted: only then does a timeout or a cancellation reach the child program a
    step may be waiting for. They keep no result: after a crash a step looks again instead of remembering. Whatever a
    step raises is an explained error, since its words become a state message that Prefect keeps.

    Args:
        name: its name template in the UI; `{parameter}` is filled in.
        timeout: seconds one attempt may take.
        retries: attempts after the first, for `Temporary` errors only.
    """

    def decorate(function: Callable[P, R]) -> Task[P, R]:
        @functools.wraps(function)
        async def explaining(*arguments: P.args, **options: P.kwargs) -> Any:
            with explained():
                return await cast("Awaitable[Any]", function(*arguments, **options))

        return task(
            name=function.__name__.replace("_", "-"),
            task_run_name=name,
            description=(function.__doc__ or "").strip().splitlines()[0],
            retries=retries,
            retry_delay_seconds=pauses(retries),
            retry_jitter_factor=0.5,
            retry_condition_fn=worth_retrying,
            timeout_seconds=timeout,
            cache_policy=NO_CACHE,
            persist_result=False,
        )(cast("Callable[P, R]", explaining))

    return decorate
