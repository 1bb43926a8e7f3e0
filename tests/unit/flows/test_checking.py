"""What every check has: recorded once, published, announced when something is new, and loud when it fails."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.utilities.annotations import quote

from flows import check_drift, check_fleet, checking
from infra.catalog import Catalog
from infra.clients.errors import InvalidInput, NotFound, PlumblineError, Unavailable
from infra.drift.findings import BlindSpot, Finding, PlaneName, PlaneState, PlaneVerdict
from infra.drift.history import Changes
from infra.drift.verdict import Verdict
from infra.ledger import Ledger
from infra.settings import Settings
from infra.spec.repository import LoadedEnvironment
from tests.unit.planes.fakes import declared

FOUND = Finding(plane=PlaneName.DNS, address="recordset/x", sentence="It differs.")


class Stage:
    """A check without clouds: what the planes show is set, the ledger is real."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(state_dir=folder)
        self.shown: dict[PlaneName, tuple[Finding | BlindSpot, ...]] = {}
        self.published: list[tuple[Verdict, Changes]] = []
        self.opened: list[dict[str, Any]] = []
        self.failures: list[str] = []
        self.canary: list[str] | PlumblineError = []
        for name, replacement in {
            "open_clients": self.clients,
            "reach_for_looking": self.reach,
            "look_at_plane": self.look,
            "publish_verdict": self.publish,
            "exercise_canary": self.exercise,
            "announce_failure": self.failed,
        }.items():
            monkeypatch.setattr(checking, name, replacement)

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

    async def publish(self, verdict: quote, changes: quote, _settings: Settings) -> None:
        self.published.append((verdict.unquote(), changes.unquote()))

    async def exercise(self, _environment: quote, _clients: quote) -> list[str]:
        if isinstance(self.canary, PlumblineError):
            raise self.canary
        return self.canary

    async def failed(self, name: str, error: PlumblineError, _blocks: Any) -> None:
        self.failures.append(f"{name}: {error.summary}")

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
    news = [(len(changes.found), len(changes.cleared)) for _, changes in stage.published]
    assert news == [(1, 0), (0, 0), (0, 0), (0, 1)]


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


async def test_a_check_that_fails_is_announced_once_for_each_reason(stage: Stage, ledger: Ledger) -> None:
    async def failing(error: PlumblineError) -> None:
        with pytest.raises(type(error)):
            async with checking.failing_loudly("dev", ledger, stage.settings):
                raise error

    for _ in range(3):
        await failing(InvalidInput("The declaration is wrong."))
    await failing(NotFound("The repository is gone."))
    await stage.check(ledger)
    await failing(NotFound("The repository is gone."))
    assert stage.failures == [
        "dev: The declaration is wrong.",
        "dev: The repository is gone.",
        "dev: The repository is gone.",
    ]


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
