"""Schedules as git says and no others."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import asynccontextmanager
from datetime import timedelta
from types import SimpleNamespace
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from prefect.client.schemas.schedules import CronSchedule
from prefect.exceptions import ObjectNotFound

from infra.clients.errors import NotFound, Unavailable
from tasks import scheduling

QUARTER, HALF = timedelta(minutes=15), timedelta(minutes=30)


class Prefect:
    """Two deployments and their schedules."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.schedules: dict[str, list[Any]] = {scheduling.CHECK: [], scheduling.RECONCILE: []}
        self.ids = {name: uuid4() for name in self.schedules}
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
            assert one.slug not in {known.slug for known in self._of(deployment)}, "Prefect answers 409"
            made = SimpleNamespace(
                id=uuid4(), slug=one.slug, schedule=one.schedule, active=one.active, parameters=one.parameters
            )
            self._of(deployment).append(made)

    async def delete_deployment_schedule(self, deployment: UUID, schedule: UUID) -> None:
        kept = self._of(deployment)
        kept[:] = [one for one in kept if one.id != schedule]

    async def update_deployment_schedule(
        self, deployment: UUID, schedule: UUID, active: bool, interval: Any, *, parameters: Any, slug: str
    ) -> None:
        (known,) = [one for one in self._of(deployment) if one.id == schedule]
        known.active, known.schedule, known.parameters, known.slug = active, interval, parameters, slug

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


async def keep(every: dict[str, timedelta], unread: Sequence[str] = ()) -> list[str]:
    return await scheduling.keep_schedules.fn(every, unread)


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
    # Ten show what a hundred do, and Prefect's model of a schedule is slow.
    every = {f"env-{number}": QUARTER for number in range(10)}
    assert len(await keep(every)) == 30
    assert prefect.created == [20, 10]
    assert await keep(every) == []
    assert len(prefect.created) == 2


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


async def test_schedules_of_an_environment_that_cannot_be_read_stay(prefect: Prefect) -> None:
    await keep({"dev": QUARTER, "staging": QUARTER, "old": QUARTER})
    changed = await keep({"dev": QUARTER}, unread=["staging"])
    assert changed == ["old: no check-drift any more"] * 2 + ["old: no reconcile any more"]
    assert {one.parameters["name"] for one in prefect.schedules[scheduling.CHECK]} == {"dev", "staging"}


async def test_no_environments_name_makes_it_anothers_canary(prefect: Prefect) -> None:
    every = {"eu": QUARTER, "canary-eu": QUARTER}
    await keep(every)
    assert len(prefect.schedules[scheduling.CHECK]) == 4
    assert await keep(every) == []
    await keep({"eu": QUARTER})
    assert {one.slug for one in prefect.schedules[scheduling.CHECK]} == {"plumbline-eu", "plumbline-eu.canary"}


@pytest.mark.parametrize("parameters", [{"name": "eu", "canary": True}, {}])
async def test_a_canarys_schedule_of_old_is_taken_over_paused_or_not(prefect: Prefect, parameters: Any) -> None:
    await keep({"eu": QUARTER})
    (canary,) = [one for one in prefect.schedules[scheduling.CHECK] if one.slug.endswith("canary")]
    canary.slug, canary.active, canary.parameters = "plumbline-canary-eu", False, parameters
    assert await keep({"eu": QUARTER}) == ["eu: check-drift with canary every 1d"]
    assert (canary.slug, canary.active) == ("plumbline-eu.canary", False)
    assert canary.parameters == {"name": "eu", "canary": True}
    assert len(prefect.schedules[scheduling.CHECK]) == 2


async def test_what_prefects_page_clears_of_a_schedule_is_put_back(prefect: Prefect) -> None:
    """Whoever switches a schedule on or off there leaves it without parameters, and it would start nothing."""
    await keep({"dev": QUARTER})
    (heal,) = prefect.schedules[scheduling.RECONCILE]
    heal.active, heal.parameters = True, {}
    assert await keep({"dev": QUARTER}) == ["dev: reconcile every 1h"]
    assert (heal.active, heal.parameters) == (True, {"name": "dev"})


@settings(deadline=None)
@given(
    seconds=st.integers(60, 86400),
    name=st.from_regex(r"[a-z]([-a-z0-9]{0,28}[a-z0-9])?", fullmatch=True),
    day=st.integers(0, 1000),
)
def test_a_canary_is_half_way_between_two_checks_on_every_day(seconds: int, name: str, day: int) -> None:
    every = timedelta(seconds=seconds)
    plain, canary = scheduling._checks({name: every})
    assert (plain.interval, canary.canary) == (every, True)
    assert timedelta(hours=12) < canary.interval <= timedelta(days=1)
    one = canary.anchor.timestamp() + day * canary.interval.total_seconds()
    assert (one - plain.anchor.timestamp()) % seconds == pytest.approx(seconds / 2, abs=0.001)
