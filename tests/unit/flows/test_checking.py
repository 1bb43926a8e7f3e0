"""What every check has: recorded once, published, announced when something is new, and loud when it fails."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest
from prefect.events.schemas.events import Event
from prefect.utilities.annotations import quote
from sqlalchemy import create_engine, text, update

from flows import check_drift, check_fleet, checking
from infra.catalog import Catalog
from infra.clients.errors import InvalidInput, NotFound, PlumblineError, Unavailable
from infra.drift.findings import BlindSpot, Finding, PlaneName, PlaneState, PlaneVerdict
from infra.drift.verdict import Verdict
from infra.ledger import Ledger
from infra.ledger.tables import RunRow
from infra.settings import Settings
from infra.spec.repository import LoadedEnvironment
from tasks import announcing
from tests.unit.planes.fakes import declared

FOUND = Finding(plane=PlaneName.DNS, address="recordset/x", sentence="It differs.")


class Stage:
    """A check without clouds: what the planes show is set, the ledger is real."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(state_dir=folder)
        self.shown: dict[PlaneName, tuple[Finding | BlindSpot, ...]] = {}
        self.published: list[Verdict] = []
        self.opened: list[dict[str, Any]] = []
        self.told: list[Event] = []
        self.canary: list[str] | PlumblineError = []
        for name, replacement in {
            "open_clients": self.clients,
            "reach_for_looking": self.reach,
            "look_at_plane": self.look,
            "publish_verdict": self.publish,
            "exercise_canary": self.exercise,
        }.items():
            monkeypatch.setattr(checking, name, replacement)
        monkeypatch.setattr(announcing, "emit", self.emit)
        monkeypatch.setattr(announcing, "_received", self.received)

    @asynccontextmanager
    async def clients(self, _environment: Any, **given: Any) -> AsyncIterator[Any]:
        self.opened.append(given)
        yield SimpleNamespace()

    async def reach(self, _environment: quote, _clients: quote) -> str | None:
        return None

    async def look(self, plane: PlaneName, _environment: quote, _clients: quote, _why: str | None) -> PlaneVerdict:
        shown = self.shown.get(plane, ())
        findings = [one for one in shown if isinstance(one, Finding)]
        spots = [one for one in shown if isinstance(one, BlindSpot)]
        return PlaneVerdict.of(plane, findings, spots, looked_at=datetime.now(UTC), seconds=0.1)

    async def publish(self, verdict: quote, _settings: Settings) -> None:
        self.published.append(verdict.unquote())

    async def exercise(self, _environment: quote, _clients: quote) -> list[str]:
        if isinstance(self.canary, PlumblineError):
            raise self.canary
        return self.canary

    async def emit(self, events: Sequence[Event]) -> None:
        known = {one.id for one in self.told}
        self.told += (one for one in events if one.id not in known)

    async def received(self, event: UUID) -> bool:
        return any(one.id == event for one in self.told)

    @property
    def news(self) -> list[str]:
        """What was told, by the last word of its name and what it is about."""
        return [
            f"{one.event.rpartition('.')[2]} {one.payload.get('summary') or one.payload['count']}" for one in self.told
        ]

    async def check(self, ledger: Ledger, **more: Any) -> Verdict:
        loaded = LoadedEnvironment(declared(), "f" * 40, "environments/dev.yaml")
        return await checking.check(loaded, self.settings, Catalog.load(), ledger, **more)


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    return Stage(tmp_path, monkeypatch)


@pytest.fixture
async def ledger(stage: Stage) -> AsyncIterator[Ledger]:
    async with Ledger.open(stage.settings) as opened:
        yield opened


async def test_every_plane_is_looked_at_by_clients_that_only_read(stage: Stage, ledger: Ledger) -> None:
    verdict = await stage.check(ledger)
    assert [plane.plane for plane in verdict.planes] == list(PlaneName)
    assert (verdict.state, verdict.commit, verdict.stale) == (PlaneState.IN_STEP, "f" * 40, None)
    (given,) = stage.opened
    assert given["read_only"] is True
    (kept,) = await ledger.checks("dev")
    assert (kept.summary.state, kept.commit, kept.summary.declared_seconds) == (PlaneState.IN_STEP, "f" * 40, 900.0)


async def test_what_is_found_is_news_once_and_what_is_cleared_too(stage: Stage, ledger: Ledger) -> None:
    stage.shown = {PlaneName.DNS: (FOUND,)}
    for _ in range(2):
        await stage.check(ledger)
    stage.shown = {PlaneName.DNS: (BlindSpot(plane=PlaneName.DNS, what="zone", why="Designate is silent."),)}
    await stage.check(ledger)
    stage.shown = {}
    await stage.check(ledger)
    assert stage.news == ["found 1", "cleared 1"]
    assert len(stage.published) == 4


async def test_what_is_new_is_told_also_where_the_report_cannot_be_published(
    stage: Stage, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def refused(*_: Any) -> None:
        raise Unavailable("Prefect does not answer.")

    monkeypatch.setattr(checking, "publish_verdict", refused)
    stage.shown = {PlaneName.DNS: (FOUND,)}
    with pytest.raises(Unavailable):
        await stage.check(ledger)
    assert stage.news == ["found 1"]


async def test_news_waits_for_another_run_and_not_for_the_one_that_the_look_belongs_to(
    stage: Stage, ledger: Ledger
) -> None:
    stage.shown = {PlaneName.DNS: (FOUND,)}
    async with ledger.run("reconcile", "dev", "f" * 40) as run:
        await stage.check(ledger)
        assert stage.news == []
        await stage.check(ledger, besides=run.id)
    assert stage.news == ["found 1"]


async def test_a_run_at_work_is_named_but_not_the_one_the_look_belongs_to(stage: Stage, ledger: Ledger) -> None:
    run = await ledger.begin("create-environment", "dev", "f" * 40)
    verdict = await stage.check(ledger)
    assert "create-environment is at work since" in verdict.notes[0]
    assert (await stage.check(ledger, besides=run.id)).notes == ()


async def test_a_canary_that_is_missed_makes_verdicts_stale_until_one_is_found(stage: Stage, ledger: Ledger) -> None:
    assert (await stage.check(ledger, canary=True)).stale is None
    stage.canary = ["ConfigMap/plumbline-system/drift-canary was made different, and the look did not find it."]
    assert "did not find it" in str((await stage.check(ledger, canary=True)).stale)
    assert "did not find it" in str((await stage.check(ledger)).stale)
    stage.canary = Unavailable("The API server did not answer.")
    assert "did not find it" in str((await stage.check(ledger, canary=True)).stale)
    stage.canary = []
    assert (await stage.check(ledger, canary=True)).stale is None
    assert [given.get("read_only", False) for given in stage.opened[:2]] == [False, True]


async def test_a_verdict_says_when_the_canary_has_not_been_exercised_for_days(stage: Stage, ledger: Ledger) -> None:
    assert (await stage.check(ledger)).notes == ()
    assert (await stage.check(ledger, canary=True)).notes == ()
    engine = create_engine(f"sqlite:///{stage.settings.state_dir}/ledger.sqlite")
    with engine.begin() as connection:
        connection.execute(update(RunRow).values(started=datetime.now(UTC) - timedelta(hours=47)))
    assert (await stage.check(ledger)).notes == ()
    with engine.begin() as connection:
        connection.execute(update(RunRow).values(started=datetime.now(UTC) - timedelta(hours=49)))
    engine.dispose()
    assert "The canary was last exercised on" in (await stage.check(ledger)).notes[0]
    stage.canary = Unavailable("The API server did not answer.")
    assert len((await stage.check(ledger, canary=True)).notes) == 1


async def fails(stage: Stage, ledger: Ledger, error: BaseException, **how: Any) -> None:
    with pytest.raises(type(error)):
        async with checking.failing_loudly("dev", ledger, stage.settings, **how):
            raise error


async def test_a_check_that_fails_is_announced_once_for_each_reason(stage: Stage, ledger: Ledger) -> None:
    for commit in ("4f2a9c1d00", "0badcafe11", "1111111111"):
        await fails(stage, ledger, InvalidInput(f"The declaration is wrong at {commit}."))
    await fails(stage, ledger, NotFound("The repository is gone."))
    await stage.check(ledger)
    await fails(stage, ledger, NotFound("The repository is gone."))
    assert stage.news == [
        "failed The declaration is wrong at 4f2a9c1d00.",
        "failed The repository is gone.",
        "failed The repository is gone.",
    ]


async def test_a_check_that_takes_too_long_has_failed(stage: Stage, ledger: Ledger) -> None:
    with pytest.raises(Unavailable, match="not done in time"):
        async with checking.failing_loudly("dev", ledger, stage.settings, until=asyncio.get_running_loop().time()):
            await asyncio.Event().wait()
    assert stage.news == ["failed The check was not done in time."]
    (kept,) = await ledger.checks("dev")
    assert kept.summary.stale == "The check failed: The check was not done in time."


async def test_a_check_that_somebody_cancels_has_not_failed(stage: Stage, ledger: Ledger) -> None:
    started = asyncio.Event()

    async def checked() -> None:
        async with checking.failing_loudly("dev", ledger, stage.settings, until=asyncio.get_running_loop().time() + 60):
            started.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(checked())
    await started.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert (stage.news, await ledger.checks("dev")) == ([], [])


async def test_the_flow_ends_a_check_before_prefect_does_and_says_so(
    stage: Stage, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def endless(*_: Any) -> None:
        await asyncio.Event().wait()

    monkeypatch.setattr(check_drift, "get_settings", lambda: stage.settings)
    monkeypatch.setattr(check_drift, "load_environment", endless)
    monkeypatch.setattr(check_drift, "LAST_WORDS", check_drift.LONGEST - timedelta(seconds=0.1))
    assert check_drift.check_drift.timeout_seconds == check_drift.LONGEST.total_seconds()
    with pytest.raises(Unavailable, match="not done in time"):
        await check_drift.check_drift.fn("dev")
    assert stage.news == ["failed The check was not done in time."]
    assert len(await ledger.checks("dev")) == 1


@pytest.mark.parametrize(("name", "abouts"), [("dev", ["fleet", "environment.dev"]), (None, ["fleet"])])
async def test_that_the_ledger_cannot_be_opened_is_told_without_it(
    stage: Stage, tmp_path: Path, name: str | None, abouts: list[str]
) -> None:
    nowhere = stage.settings.model_copy(update={"ledger_url": f"postgresql://nobody@/none?host={tmp_path}"})
    for _ in range(2):
        with pytest.raises(Unavailable, match="database does not answer"):
            async with checking.open_ledger(name, nowhere):
                raise AssertionError("never reached")
    assert [event.resource["prefect.resource.id"] for event in stage.told] == [f"plumbline.{one}" for one in abouts]
    assert {event.payload["category"] for event in stage.told} == {"Unavailable"}


async def test_that_the_ledger_breaks_under_a_check_is_told_without_it(
    stage: Stage, ledger: Ledger, caplog: pytest.LogCaptureFixture
) -> None:
    with ledger._store.session(write=True) as session:
        session.execute(text("DROP TABLE checks"))
    for _ in range(2):
        with pytest.raises(Unavailable, match="does not answer"):
            async with checking.failing_loudly("dev", ledger, stage.settings):
                await stage.check(ledger)
    assert stage.news == ["failed The ledger's database does not answer."] * 2, "of the fleet, and of the environment"
    assert "could not note that the check of dev failed" in caplog.text


async def test_only_a_run_of_a_deployment_may_be_needless(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[Any] = []

    async def superseded(*given: Any) -> str:
        asked.append(given)
        return "Another is at work."

    monkeypatch.setattr(check_drift, "superseded", superseded)
    by_hand, deployed = SimpleNamespace(deployment_id=None), SimpleNamespace(deployment_id="d")
    for run, commit, said in (
        (None, None, None),
        (by_hand, None, None),
        (deployed, "f" * 40, None),
        (deployed, None, "Another is at work."),
    ):
        context = SimpleNamespace(flow_run=run) if run else None
        monkeypatch.setattr(check_drift.FlowRunContext, "get", lambda context=context: context)
        assert await check_drift._needless(commit) == said
    assert asked == [(deployed, check_drift.LONGEST)]


async def test_one_environment_that_cannot_be_checked_keeps_nobody_from_the_others(
    stage: Stage, ledger: Ledger, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def check(item: Any, *_: Any) -> Verdict:
        if item.environment.name == "bad":
            raise Unavailable("Keystone is silent.")
        if item.environment.name == "slow":
            raise TimeoutError("60 s")  # as Prefect says of a step
        return Verdict.of(item.environment.name, "f" * 40, [], looked_at=datetime.now(UTC), seconds=0)

    monkeypatch.setattr(check_fleet, "check", check)
    fleet: Any = [SimpleNamespace(environment=SimpleNamespace(name=name)) for name in ("a", "bad", "slow", "z")]
    results = await check_fleet._sweep(fleet, stage.settings, Catalog.load(), ledger)
    assert [one.environment for one in results] == ["a", "bad", "slow", "z"]
    assert [getattr(results[number], "category", None) for number in (1, 2)] == ["Unavailable", "Unavailable"]


@pytest.mark.parametrize("error", [NotFound("Prefect has no deployment."), TimeoutError("60 s")])
async def test_a_sweep_counts_also_where_nothing_can_be_scheduled(
    monkeypatch: pytest.MonkeyPatch, error: Exception
) -> None:
    asked: list[Any] = []

    async def refused(*given: Any) -> list[str]:
        asked.append(given)
        raise error

    monkeypatch.setattr(check_fleet, "keep_schedules", refused)
    loaded = [LoadedEnvironment(declared(), "f" * 40, "environments/dev.yaml")]
    changed, notes = await check_fleet._schedule(loaded, ["broken", "dev"], None)
    assert (changed, asked) == ([], [({"dev": timedelta(minutes=15)}, ["broken"])])
    assert "The schedules were not looked at." in notes[0]
    assert str(error) in notes[0]


async def test_a_look_back_at_a_commit_changes_no_schedule(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(check_fleet, "keep_schedules", None)
    loaded = [LoadedEnvironment(declared(), "f" * 40, "environments/dev.yaml")]
    assert await check_fleet._schedule(loaded, ["dev"], "f" * 40) == ([], [])


async def test_a_sweep_lets_the_ledger_forget_and_counts_also_where_it_cannot() -> None:
    asked: list[timedelta] = []

    class Forgetful:
        async def prune(self, *, keep: timedelta) -> int:
            asked.append(keep)
            if len(asked) > 1:
                raise Unavailable("The ledger's database does not answer.")
            return 1

    ledger: Any = Forgetful()
    settings = Settings(ledger_keep=30)
    assert await check_fleet._forget(ledger, settings) == []
    assert await check_fleet._forget(ledger, settings) == [
        "The ledger was not pruned. The ledger's database does not answer."
    ]
    assert asked == [timedelta(days=30)] * 2


@pytest.mark.parametrize("error", [None, Unavailable("Prefect's API did not answer."), TimeoutError("120 s")])
async def test_a_sweep_keeps_newest_verdicts_and_counts_also_where_it_cannot(
    monkeypatch: pytest.MonkeyPatch, error: Exception | None
) -> None:
    asked: list[timedelta] = []

    async def keep(age: timedelta) -> list[str]:
        asked.append(age)
        if error:
            raise error
        return ["verdict-dev"]

    monkeypatch.setattr(check_fleet, "keep_newest_verdicts", keep)
    notes = await check_fleet._keep_verdicts(Settings(prefect_keep=10))
    assert asked == [timedelta(days=10)]
    assert [note.startswith("The newest verdicts were not looked after.") for note in notes] == [True] * bool(error)
