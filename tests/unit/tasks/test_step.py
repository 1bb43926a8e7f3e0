"""Steps: retried by the type of the error, bounded, named for people; and each is what its plane says."""

from __future__ import annotations

import asyncio
import importlib
import inspect
import pkgutil
from typing import Any

import pytest
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State, StateType
from prefect.tasks import Task

import tasks as package
from infra.clients.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    Failed,
    InvalidInput,
    NotYet,
    PlumblineError,
    Refused,
    Throttled,
    Unavailable,
    Unforeseen,
)
from tasks import step as steps
from tasks.step import pauses, step, worth_retrying


def every_task() -> dict[str, Task[..., Any]]:
    """Every task of the package, by where it stands."""
    found = {}
    for info in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"tasks.{info.name}")
        for name, item in vars(module).items():
            if isinstance(item, Task) and item.fn.__module__ == module.__name__:
                found[f"{info.name}.{name}"] = item
    return found


TASKS = every_task()


def ended(error: object, *, name: str = "Failed", type: StateType = StateType.FAILED) -> State[Any]:
    return State(type=type, name=name, data=error)


def run(count: int = 1) -> Any:
    return type("Run", (), {"run_count": count})()


async def retried(state: State[Any], count: int = 1) -> bool:
    task: Any = None
    return await worth_retrying(task, run(count), state)


@pytest.mark.parametrize("kind", [Unavailable, Throttled, Conflict, NotYet])
@pytest.mark.parametrize("count", [1, 7])
async def test_what_may_pass_is_tried_again(kind: type[PlumblineError], count: int) -> None:
    assert await retried(ended(kind("later")), count)


@pytest.mark.parametrize("kind", [InvalidInput, Denied, Refused, Failed, DeadlineExceeded, Unforeseen])
async def test_what_needs_somebody_is_not(kind: type[PlumblineError]) -> None:
    assert not await retried(ended(kind("never")))


@pytest.mark.parametrize("error", [KeyError("x"), ValueError("Temporary"), None])
async def test_the_type_decides_not_the_words(error: object) -> None:
    assert not await retried(ended(error))


async def test_a_timeout_gets_one_more_attempt() -> None:
    for state in (ended(TimeoutError("60 s")), ended(None, name="TimedOut")):
        assert await retried(state, 1)
        assert not await retried(state, 2)


async def test_a_servers_own_pause_is_waited_for_up_to_a_bound(monkeypatch: pytest.MonkeyPatch) -> None:
    slept: list[float] = []

    async def sleep(seconds: float) -> None:
        slept.append(seconds)

    monkeypatch.setattr(asyncio, "sleep", sleep)
    for retry_after in (None, 5.0, 3600.0):
        assert await retried(ended(Throttled("slow down", retry_after=retry_after)))
    assert slept == [0.0, 5.0, steps.PATIENCE]


def test_pauses_double_up_to_the_longest() -> None:
    assert pauses(6) == [1.0, 2.0, 4.0, 8.0, 10.0, 10.0]
    assert pauses(0) == []


def test_the_package_has_tasks() -> None:
    expected = {"cluster.converge_cluster", "dns.probe_dns", "report.publish_report", "declaration.load_environment"}
    assert expected <= set(TASKS)


@pytest.mark.parametrize("name", sorted(TASKS))
def test_every_task_is_a_step(name: str) -> None:
    """Bounded, retried by type, never cached nor kept; a coroutine, so that timeouts reach what it waits for."""
    task = TASKS[name]
    assert task.retry_condition_fn is worth_retrying
    # A look that fails is a blind spot of its verdict, and made again when the next check is due.
    looks = {"drift.look_at_plane", "drift.reach_for_looking", "drift.look_for_strays"}
    retries = 0 if name in looks else steps.RETRIES
    assert task.retries == retries
    assert task.retry_delay_seconds == pauses(retries)
    assert task.cache_policy is NO_CACHE
    assert task.persist_result is False
    assert task.timeout_seconds is not None
    assert 60 <= task.timeout_seconds <= 6 * 3600
    assert inspect.iscoroutinefunction(inspect.unwrap(task.fn))
    assert task.description
    template = task.task_run_name
    assert isinstance(template, str)
    parameters = inspect.signature(inspect.unwrap(task.fn)).parameters
    for field in (part.partition("}")[0].partition(".")[0] for part in template.split("{")[1:]):
        assert field in parameters, "a name in the UI is filled in from the parameters"


BESIDE_GRAPHS = ("report.", "declaration.", "drift.", "scheduling.", "keeping.", "history.")


@pytest.mark.parametrize("name", sorted(name for name in TASKS if not name.startswith(BESIDE_GRAPHS)))
def test_every_step_of_a_graph_takes_what_the_graph_gives(name: str) -> None:
    parameters = inspect.signature(inspect.unwrap(TASKS[name].fn)).parameters
    assert {"environment", "clients", "after"} <= set(parameters)
    assert parameters["after"].default == ()


async def test_what_nobody_foresaw_is_explained_before_prefect_keeps_its_words() -> None:
    @step("x", timeout=60)
    async def breaks(error: Exception) -> None:
        """Break."""
        raise error

    with pytest.raises(Unforeseen, match="KeyError"):
        await breaks.fn(KeyError("password=hunter2"))
    with pytest.raises(Unforeseen) as caught:
        await breaks.fn(RuntimeError("password=hunter2"))
    assert "hunter2" not in str(caught.value)
    with pytest.raises(Failed, match=r"^It broke\.$"):
        await breaks.fn(Failed("It broke."))
