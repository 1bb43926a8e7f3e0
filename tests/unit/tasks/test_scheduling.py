"""Schedules as git says and no others; and a check that need not be made twice."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from prefect.client.schemas.objects import StateType
from prefect.client.schemas.schedules import CronSchedule, IntervalSchedule
from prefect.exceptions import ObjectNotFound

from infra.clients.errors import NotFound, Unavailable
from tasks import scheduling

QUARTER, HALF = timedelta(minutes=15), timedelta(minutes=30)


class Prefect:
    """Two deployments, their schedules and flow runs."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.schedules: dict[str, list[Any]] = {scheduling.CHECK: [], scheduling.RECONCILE: []}
        self.ids = {name: uuid4() for name in self.schedules}
        self.runs: list[Any] = []
        self.error: Exception | None = None
        self.created: list[int] = []

        @asynccontextmanager
        async def client() -> Any:
            yield self

        monkeypatch.setattr(scheduling, "get_client", client)

    async def read_deployment_by_name(self, name: str) -> Any:
        if self.error:
            raise self.error
        return SimpleNamespace(id=self.ids[name], name=name.partition("/")[0], schedules=list(self.schedules[name]))

    async def create_deployment_schedules(self, deployment: UUID, creates: Sequence[Any]) -> None:
        self.created.append(len(creates))
        for one in creates:
            made = SimpleNamespace(
                id=uuid4(), slug=one.slug, schedule=one.schedule, active=one.active, parameters=one.parameters
            )
            self._of(deployment).append(made)

    async def delete_deployment_schedule(self, deployment: UUID, schedule: UUID) -> None:
        kept = self._of(deployment)
        kept[:] = [one for one in kept if one.id != schedule]

    async def read_flow_runs(self, *, deployment_filter: Any, flow_run_filter: Any) -> list[Any]:
        (state,) = flow_run_filter.state.type.any_
        return [one for one in self.runs if one.state == state]

    def _of(self, deployment: UUID) -> list[Any]:
        return next(self.schedules[name] for name, known in self.ids.items() if known == deployment)

    def said(self, name: str) -> set[tuple[str, float, bool]]:
        return {
            (str(sorted(one.parameters.items())), one.schedule.interval.total_seconds(), one.active)
            for one in self.schedules[name]
        }


@pytest.fixture
def prefect(monkeypatch: pytest.MonkeyPatch) -> Prefect:
    return Prefect(monkeypatch)


async def keep(every: dict[str, timedelta]) -> list[str]:
    return await scheduling.keep_schedules.fn(every)


async def test_each_environment_is_checked_as_often_as_git_says(prefect: Prefect) -> None:
    assert await keep({"dev": QUARTER}) == [
        "dev: check-drift every 15m",
        "dev: check-drift with canary every 1d",
        "dev: reconcile every 1h, paused",
    ]
    assert prefect.said(scheduling.CHECK) == {
        ("[('name', 'dev')]", 900.0, True),
        ("[('canary', True), ('name', 'dev')]", 86400.0, True),
    }
    assert prefect.said(scheduling.RECONCILE) == {("[('name', 'dev')]", 3600.0, False)}
    assert await keep({"dev": QUARTER}) == []


async def test_those_of_a_fleet_are_made_at_once(prefect: Prefect) -> None:
    every = {f"env-{number}": QUARTER for number in range(100)}
    assert len(await keep(every)) == 300
    assert prefect.created == [100, 100, 100]
    assert await keep(every) == []
    assert len(prefect.created) == 3


async def test_another_interval_and_a_withdrawn_environment_are_followed(prefect: Prefect) -> None:
    await keep({"dev": QUARTER, "old": QUARTER})
    changed = await keep({"dev": HALF})
    assert "dev: check-drift every 30m" in changed
    assert "old: no check-drift any more" in changed
    assert len(prefect.schedules[scheduling.CHECK]) == 2


async def test_what_somebody_has_paused_or_made_himself_stays(prefect: Prefect) -> None:
    await keep({"dev": QUARTER})
    theirs = SimpleNamespace(id=uuid4(), slug="theirs", schedule=CronSchedule(cron="0 0 * * *"), parameters={})
    prefect.schedules[scheduling.CHECK].append(theirs)
    for one in prefect.schedules[scheduling.CHECK]:
        one.active = False
    assert await keep({"dev": QUARTER}) == []
    assert any("every 30m" in said for said in await keep({"dev": HALF}))
    assert {one.active for one in prefect.schedules[scheduling.CHECK]} == {False}
    assert theirs in prefect.schedules[scheduling.CHECK]


async def test_a_server_without_the_deployments_or_without_an_answer_is_a_sentence(prefect: Prefect) -> None:
    prefect.error = ObjectNotFound(Exception("404"))
    with pytest.raises(NotFound, match="no deployment"):
        await keep({})
    prefect.error = httpx.ConnectError("refused")
    with pytest.raises(Unavailable):
        await keep({})


def test_a_fleet_is_not_checked_all_at_once() -> None:
    anchors = {scheduling._anchor(f"env-{number}", QUARTER) for number in range(50)}
    assert len(anchors) > 20
    assert max(anchors) - min(anchors) < QUARTER


def run(state: StateType, *, began: float | None = None, due: float | None = None, name: str = "dev") -> Any:
    now = datetime.now(UTC)
    return SimpleNamespace(
        id=uuid4(),
        state=state,
        start_time=now + timedelta(seconds=began) if began is not None else None,
        next_scheduled_start_time=now + timedelta(seconds=due) if due is not None else None,
        parameters={"name": name},
    )


async def superseded(mine: Any) -> str | None:
    return await scheduling.superseded("dev", mine.id, uuid4(), timedelta(minutes=20))


async def test_of_two_checks_at_work_the_later_steps_back(prefect: Prefect) -> None:
    first, second = run(StateType.RUNNING, began=-60), run(StateType.RUNNING, began=-1)
    prefect.runs = [first, second]
    assert await superseded(first) is None
    assert "is at work since" in str(await superseded(second))


async def test_a_check_that_lost_its_process_holds_nobody_up(prefect: Prefect) -> None:
    lost, mine = run(StateType.RUNNING, began=-7200), run(StateType.RUNNING, began=0)
    prefect.runs = [lost, mine]
    assert await superseded(mine) is None


async def test_of_checks_that_have_piled_up_only_the_last_is_made(prefect: Prefect) -> None:
    mine = run(StateType.RUNNING, began=0)
    prefect.runs = [mine, run(StateType.SCHEDULED, due=900), run(StateType.SCHEDULED, due=-5, name="staging")]
    assert await superseded(mine) is None
    prefect.runs.append(run(StateType.SCHEDULED, due=-5))
    assert "is due already" in str(await superseded(mine))


def test_the_schedules_are_intervals() -> None:
    known: Any = SimpleNamespace(schedule=IntervalSchedule(interval=QUARTER), parameters={"name": "dev"})
    assert scheduling._as_wanted(known, {"name": "dev"}, QUARTER)
    assert not scheduling._as_wanted(known, {"name": "dev"}, HALF)
