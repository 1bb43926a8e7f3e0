"""Who may be reconciled, and what is said of it; without clouds, but with a real ledger and a real state."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.client.schemas.objects import State

from flows import reconcile as reconciling
from flows import run, standing
from infra.catalog import Catalog
from infra.clients.errors import NotFound
from infra.drift.findings import BlindSpot, Finding, PlaneName, PlaneVerdict
from infra.drift.verdict import Verdict
from infra.ledger import Ledger
from infra.planes.reconciliation import LeftAlone, Reconciliation
from infra.planes.report import StepReport, StepState
from infra.settings import Settings
from infra.spec.repository import Undeclared
from tests.unit.planes.fakes import declared

FOUND = Finding(plane=PlaneName.DNS, address="recordset/x", sentence="It differs.")
OTHER = Finding(plane=PlaneName.STORAGE, address="StorageClass/fast", sentence="Nobody declares it.")


def verdict(*shown: Finding | BlindSpot, stale: str | None = None) -> Verdict:
    now = datetime.now(UTC)
    planes = [
        PlaneVerdict.of(
            plane,
            [one for one in shown if isinstance(one, Finding) and one.plane is plane],
            [one for one in shown if isinstance(one, BlindSpot) and one.plane is plane],
            looked_at=now,
            seconds=0,
        )
        for plane in PlaneName
    ]
    return Verdict.of("dev", "f" * 40, planes, looked_at=now, seconds=0, stale=stale)


class Stage:
    """A reconciliation whose looks and changes are replaced."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(state_dir=folder)
        self.looks = [verdict(FOUND), verdict()]
        self.while_looking: Callable[[], Awaitable[None]] | None = None
        self.changed = 0
        self.undeclared = False
        self.over: set[str] = set()

    async def load(self, name: str, commit: str | None, *_: Any) -> Any:
        if self.undeclared:
            raise Undeclared(f"There is no environments/{name}.yaml at commit {commit}.")
        return SimpleNamespace(environment=declared(), commit="f" * 40)

    @asynccontextmanager
    async def clients(self, *_: Any, **given: Any) -> AsyncIterator[Any]:
        yield SimpleNamespace(catalog=Catalog.load(), journal=given["journal"])

    async def check(self, *_: Any, **__: Any) -> Verdict:
        if self.while_looking:
            await self.while_looking()
        return self.looks.pop(0)

    async def converge(self, _run: Any) -> tuple[StepReport, ...]:
        self.changed += 1
        return (StepReport(plane="dns", name="dns", state=StepState.READY, seconds=1, sentence="1 made"),)

    async def publish(self, *_: Any) -> None:
        return None

    async def ended(self, flow_run_id: str | None) -> bool:
        return flow_run_id in self.over

    def keep_state(self, *resources: dict[str, Any]) -> None:
        state = self.settings.state_dir.absolute() / "terraform/dev/terraform.tfstate"
        state.parent.mkdir(parents=True)
        state.write_text(json.dumps({"version": 4, "resources": resources}))

    async def ran(self, flow: str, state: str) -> None:
        async with Ledger.open(self.settings) as ledger:
            await (await ledger.begin(flow, "dev", "f" * 40)).end(state)

    async def reconcile(self, **more: Any) -> Any:
        said = await reconciling.reconcile.fn("dev", **more)
        return said.data if isinstance(said, State) else said

    async def skipped(self, **more: Any) -> str:
        said = await reconciling.reconcile.fn("dev", **more)
        assert isinstance(said, State) and (said.name, said.is_completed()) == ("Skipped", True)
        assert isinstance(said.data, LeftAlone) and said.data.exit_status == 2
        assert said.message == said.data.skipped
        assert self.changed == 0
        return said.data.skipped

    async def last(self) -> tuple[str, str | None]:
        async with Ledger.open(self.settings) as ledger:
            (newest, *_) = [one for one in await ledger.history("dev") if one.flow == "reconcile"]
            return newest.state, newest.reason


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    for module, name, replacement in (
        (run, "load_environment", made.load),
        (run, "open_clients", made.clients),
        (run, "publish_report", made.publish),
        (run, "get_settings", lambda: made.settings),
        (standing, "get_settings", lambda: made.settings),
        (standing, "ended", made.ended),
        (reconciling, "check", made.check),
        (reconciling, "converge", made.converge),
        (reconciling, "publish_reconciliation", made.publish),
    ):
        monkeypatch.setattr(module, name, replacement)
    return made


async def test_what_was_created_is_brought_back_into_step(stage: Stage) -> None:
    await stage.ran("create-environment", "ready")
    done = await stage.reconcile()
    assert isinstance(done, Reconciliation)
    assert (stage.changed, done.exit_status) == (1, 0)
    assert await stage.last() == ("ready", done.report.sentence() if done.report else None)


async def test_what_nobody_has_created_is_not_created(stage: Stage) -> None:
    assert "was never created" in await stage.skipped()
    assert (await stage.last())[0] == "skipped"
    await stage.ran("create-environment", "failed")  # before it made anything
    stage.keep_state()
    assert "was never created" in await stage.skipped()
    assert "was never created" in await stage.skipped(mode="preview")


async def test_what_a_creation_left_half_done_and_what_the_ledger_has_lost_is_finished(stage: Stage) -> None:
    stage.keep_state({"type": "openstack_containerinfra_cluster_v1", "instances": [{}]})
    assert (await stage.reconcile()).report is not None


@pytest.mark.parametrize(("state", "said"), [("removed", "was destroyed"), ("failed", "half"), ("cancelled", "half")])
async def test_what_somebody_destroys_does_not_come_back(stage: Stage, state: str, said: str) -> None:
    stage.keep_state({"type": "openstack_containerinfra_cluster_v1", "instances": [{}]})
    await stage.ran("create-environment", "ready")
    await stage.ran("destroy-environment", state)
    assert said in await stage.skipped()
    await stage.ran("create-environment", "ready")
    assert isinstance(await stage.reconcile(), Reconciliation)


async def test_a_run_at_work_is_left_alone(stage: Stage) -> None:
    await stage.ran("create-environment", "ready")
    async with Ledger.open(stage.settings) as ledger:
        for flow in ("create-environment", "destroy-environment", "reconcile"):
            other = await ledger.begin(flow, "dev", "f" * 40)
            assert f"{flow} is at work in dev since" in await stage.skipped()
            await other.end("failed")
            if flow == "destroy-environment":
                await stage.ran("create-environment", "failed")
        canary = await ledger.begin("drift-canary", "dev", "f" * 40)
        stage.keep_state({"type": "x"})
        assert isinstance(await stage.reconcile(), Reconciliation)
        await canary.end("found")


async def test_a_later_reconciliation_is_not_waited_for(stage: Stage) -> None:
    """It will leave the environment to this one: did both, nobody would heal it."""
    await stage.ran("create-environment", "ready")
    async with Ledger.open(stage.settings) as ledger:

        async def another() -> None:
            stage.while_looking = None
            await ledger.begin("reconcile", "dev", "f" * 40)

        stage.while_looking = another
        assert isinstance(await stage.reconcile(), Reconciliation)


async def test_who_begins_to_destroy_while_this_run_looks_is_left_to_it(stage: Stage) -> None:
    await stage.ran("create-environment", "ready")
    async with Ledger.open(stage.settings) as ledger:

        async def destroy() -> None:
            await ledger.begin("destroy-environment", "dev", "f" * 40)

        stage.while_looking = destroy
        assert "destroy-environment is at work" in await stage.skipped()


async def test_a_run_that_prefect_knows_to_be_over_holds_nobody_up(stage: Stage) -> None:
    await stage.ran("create-environment", "ready")
    async with Ledger.open(stage.settings) as ledger:
        await ledger.begin("reconcile", "dev", "f" * 40, "11111111-1111-1111-1111-111111111111")
        assert "is at work" in await stage.skipped()
        stage.over.add("11111111-1111-1111-1111-111111111111")
        assert isinstance(await stage.reconcile(), Reconciliation)


async def test_what_git_does_not_declare_any_more_is_left_alone(stage: Stage) -> None:
    stage.undeclared = True
    with pytest.raises(NotFound):  # nobody has ever heard of it: a name that is written wrong
        await stage.reconcile()
    await stage.ran("create-environment", "ready")
    assert "not declared in git any more" in await stage.skipped()
    with pytest.raises(NotFound):  # at that commit, which was asked for
        await stage.reconcile(commit="f" * 40)


async def test_closed_is_said_only_of_what_was_looked_at_again(stage: Stage) -> None:
    await stage.ran("create-environment", "ready")
    spot = BlindSpot(plane=PlaneName.DNS, what="zone", why="Designate is silent.")
    stage.looks = [verdict(FOUND, OTHER), verdict(spot)]
    done = await stage.reconcile()
    assert [done.outcome(one) for one in (FOUND, OTHER)] == ["not known", "closed"]
    assert "- not known: `recordset/x`: It differs." in done.markdown()
    stage.looks = [verdict(FOUND), verdict(stale="It missed its canary.")]
    assert (await stage.reconcile()).outcome(FOUND) == "not known"
    stage.looks = [verdict(FOUND, OTHER), verdict(FOUND, spot)]
    done = await stage.reconcile()
    assert [done.outcome(one) for one in (FOUND, OTHER)] == ["still there", "closed"]
