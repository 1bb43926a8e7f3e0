"""What every run has: a ledger entry, clients that are closed again, and a report as its steps ended."""

from __future__ import annotations

import logging
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from prefect.utilities.annotations import quote

from flows import create_environment as creating
from flows import destroy_environment as destroying
from flows import logs, run
from infra.catalog import Catalog
from infra.clients.errors import Failed, InvalidInput, Refused, Unforeseen
from infra.drift.findings import PlaneName
from infra.ledger import Ledger
from infra.planes.bring import Outcome
from infra.planes.report import RunReport, StepReport, StepState
from infra.settings import Settings
from infra.spec.models import Environment
from tests.unit.planes.fakes import declared


class Stage:
    """A run without clouds: declaration and Prefect's artifacts are replaced, ledger and catalogue are real."""

    def __init__(self, folder: Path) -> None:
        self.settings = Settings(state_dir=folder)
        self.environment: Environment = declared()
        self.published: list[RunReport] = []
        self.events: list[str] = []
        self.refused: Exception | None = None
        self.given: dict[str, Any] = {}

    async def load(self, name: str, commit: str | None, _settings: Settings, addons: frozenset[str]) -> Any:
        assert "cert-manager" in addons
        self.events.append(f"load {name} {commit}")
        if self.refused:
            raise self.refused
        return SimpleNamespace(environment=self.environment, commit="f" * 40)

    @asynccontextmanager
    async def clients(self, _environment: Environment, **given: Any) -> AsyncIterator[Any]:
        self.events.append("open")
        self.given = given
        try:
            yield SimpleNamespace(catalog=Catalog.load(), journal=given["journal"])
        finally:
            self.events.append("close")

    async def publish(self, report: quote) -> None:
        self.published.append(report.unquote())

    async def history(self) -> list[Any]:
        async with Ledger.open(self.settings) as ledger:
            return await ledger.history("dev")


@pytest.fixture
def stage(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Stage:
    made = Stage(tmp_path)
    monkeypatch.setattr(run, "load_environment", made.load)
    monkeypatch.setattr(run, "open_clients", made.clients)
    monkeypatch.setattr(run, "publish_report", made.publish)
    monkeypatch.setattr(run, "get_settings", lambda: made.settings)
    return made


def row(name: str, state: StepState, sentence: str = "in step") -> StepReport:
    category = "Failed" if state is StepState.FAILED else None
    return StepReport(plane="dns", name=name, state=state, seconds=1, sentence=sentence, category=category)


async def test_a_run_that_succeeds_is_kept_published_and_returned(stage: Stage) -> None:
    async with run.open_run("create-environment", "dev", "f" * 40) as opened:
        report = await opened.conclude((row("dns", StepState.READY),))
    assert (report.state, report.commit, report.environment) == ("ready", "f" * 40, "dev")
    assert report.overhead <= report.seconds
    assert stage.given["clusters"] is opened.ledger, "it is remembered beyond the run which clusters there were"
    assert stage.published == [report]
    assert stage.events == [f"load dev {'f' * 40}", "open", "close"]
    (kept,) = await stage.history()
    assert (kept.state, kept.commit) == ("ready", "f" * 40)


@pytest.mark.parametrize("state", [StepState.FAILED, StepState.NOT_STARTED])
async def test_a_run_with_a_failed_step_fails_after_its_report(stage: Stage, state: StepState) -> None:
    failing = (row("zone", StepState.FAILED, "No zone."), row("dns", state))
    with pytest.raises(Failed, match=r"zone: No zone\.") as caught:
        async with run.open_run("create-environment", "dev", None) as opened:
            await opened.conclude(failing)
    assert "report" in (caught.value.hint or "")
    assert [report.state for report in stage.published] == ["failed"]
    assert stage.events[-1] == "close"
    (kept,) = await stage.history()
    assert kept.state == "failed"


async def test_a_destroyed_environment_is_removed_not_ready(stage: Stage) -> None:
    async with run.open_run("destroy-environment", "dev", None) as opened:
        report = await opened.conclude((row("dns", StepState.REMOVED),))
    assert report.state == "removed"
    assert stage.published == [report]


async def test_a_declaration_that_is_refused_opens_nothing(stage: Stage) -> None:
    stage.refused = InvalidInput("spec.dns: wrong")
    with pytest.raises(InvalidInput):
        async with run.open_run("create-environment", "dev", None):
            raise AssertionError("never reached")
    assert stage.events == ["load dev None"]
    assert await stage.history() == []


async def test_clients_are_closed_and_the_ledger_ended_when_the_flow_breaks(stage: Stage) -> None:
    with pytest.raises(Unforeseen, match="KeyError"):
        async with run.open_run("create-environment", "dev", None):
            raise KeyError("a mistake of ours")
    assert stage.events[-1] == "close"


# -- the graphs of the two flows ------------------------------------------------------------------------------------


class Recorder:
    """Steps in place of the tasks: each notes its name and those it comes after."""

    def __init__(self) -> None:
        self.edges: dict[str, list[str]] = {}
        self.fails: set[str] = set()

    def install(self, module: Any, monkeypatch: pytest.MonkeyPatch) -> None:
        graph = module.Graph
        recorder = self

        class Recorded(graph):  # type: ignore[misc, valid-type]
            def step(self, plane: PlaneName, name: str, task: Any, *, needs: Any = (), **arguments: Any) -> None:
                assert task.task_run_name, "each is a Prefect task"

                async def instead(*, after: Any, **_given: Any) -> Outcome:
                    assert [outcome.name for outcome in after] == list(needs)
                    if name in recorder.fails:
                        raise Failed(f"{name} broke.")
                    return Outcome(plane, name, "in step")

                recorder.edges[name] = list(needs)
                super().step(plane, name, instead, needs=needs, **arguments)

        monkeypatch.setattr(module, "Graph", Recorded)

    def before(self, name: str) -> set[str]:
        """Everything that has to be done before a step."""
        found: set[str] = set()
        for need in self.edges[name]:
            found |= {need} | self.before(need)
        return found


@pytest.fixture
def recorder(monkeypatch: pytest.MonkeyPatch) -> Recorder:
    made = Recorder()
    made.install(creating, monkeypatch)
    made.install(destroying, monkeypatch)
    return made


async def test_creating_dev_goes_plane_by_plane(stage: Stage, recorder: Recorder) -> None:
    report = await creating.create_environment.fn("dev")
    assert report.state == "ready"
    assert {step.name for step in report.steps} == set(recorder.edges)
    assert recorder.edges["cluster"] == ["prerequisites"]
    assert recorder.before("storage") == {"prerequisites", "cluster", "nodes"}
    assert recorder.edges["certificate"] == ["cert-manager ready", "dns ready", "canary host"]
    assert "certificate issued" not in recorder.before("nginx-ingress"), "HTTP-01 is answered through the ingress"
    assert {"certificate issued", "canary host", "dns ready"} <= recorder.before("certificate served")
    assert {"certificate served", "argo-cd ready"} <= recorder.before("pages served")
    assert "argo-cd ready" in recorder.before("delivery")
    assert "actions-runner-controller ready" in recorder.before("runners build")
    assert "rook-ceph" not in recorder.edges
    assert stage.events[0] == "load dev None"


async def test_addons_that_do_not_need_each_other_stand_side_by_side(stage: Stage, recorder: Recorder) -> None:
    del stage
    await creating.create_environment.fn("dev")
    assert "argo-cd" not in recorder.before("cert-manager")
    assert "cert-manager" not in recorder.before("argo-cd")


async def test_a_wildcard_certificate_comes_before_the_ingress(stage: Stage, recorder: Recorder) -> None:
    stage.environment = declared(certificates={"email": "o@example.org", "issuer": "sandbox", "challenge": "dns01"})
    await creating.create_environment.fn("dev")
    assert recorder.edges["certificate"] == ["cert-manager ready"]
    assert "certificate issued" in recorder.before("nginx-ingress")
    assert "dns ready" not in recorder.before("certificate")


async def test_an_environment_without_names_has_no_steps_for_them(stage: Stage, recorder: Recorder) -> None:
    stage.environment = declared(dns=None, certificates=None, delivery=None, runners=None)
    await creating.create_environment.fn("dev")
    assert not {"dns", "certificate", "canary host", "delivery", "runners build"} & set(recorder.edges)
    stage.environment = declared(certificates=None)
    recorder.edges.clear()
    await creating.create_environment.fn("dev")
    assert "dns ready" in recorder.edges
    assert "certificate" not in recorder.edges


async def test_a_flow_fails_as_its_step_did(stage: Stage, recorder: Recorder) -> None:
    recorder.fails = {"cert-manager"}
    with pytest.raises(Failed, match=r"cert-manager: cert-manager broke\."):
        await creating.create_environment.fn("dev")
    (report,) = stage.published
    states = {step.name: step.state for step in report.steps}
    assert states["argo-cd ready"] is StepState.READY, "what runs beside it is finished"
    assert states["certificate"] is StepState.NOT_STARTED


async def test_destroying_goes_backwards(stage: Stage, recorder: Recorder) -> None:
    report = await destroying.destroy_environment.fn("dev", "dev")
    assert report.state == "removed"
    assert recorder.edges["cloud resources"] == ["runners", "delivery", "challenges"]
    assert recorder.edges["challenges"] == ["runners", "delivery"]
    assert recorder.before("cluster") == {
        *("programs", "reach", "runners", "delivery", "challenges", "cloud resources", "dns"),
    }
    assert [name for name, needs in recorder.edges.items() if not needs] == ["programs"]
    assert recorder.edges["leftovers"] == ["cluster"]
    assert len(stage.published) == 1


async def test_destroying_begins_nothing_that_a_missing_program_would_end_half_way(
    stage: Stage, recorder: Recorder
) -> None:
    recorder.fails = {"programs"}
    with pytest.raises(Failed, match=r"programs: programs broke\."):
        await destroying.destroy_environment.fn("dev", "dev")
    (report,) = stage.published
    assert {step.state for step in report.steps if step.name != "programs"} == {StepState.NOT_STARTED}


@pytest.mark.parametrize("confirm", ["prod", "Dev", "dev ", "yes"])
async def test_nothing_is_deleted_without_the_name_twice(stage: Stage, recorder: Recorder, confirm: str) -> None:
    with pytest.raises(Refused, match="Nothing was deleted"):
        await destroying.destroy_environment.fn("dev", confirm)
    assert (stage.events, recorder.edges) == ([], {})


# -- logs -------------------------------------------------------------------------------------------------------------


def test_our_sentences_pass_without_the_stack_of_explained_errors() -> None:
    logs.set_up()
    logs.set_up()
    assert logging.getLogger("infra").isEnabledFor(logging.INFO)
    explained = logging.LogRecord("x", logging.ERROR, "f", 1, "m", None, (Failed, Failed("It broke."), None))
    mistake = logging.LogRecord("x", logging.ERROR, "f", 1, "m", None, (KeyError, KeyError("x"), None))
    assert logs.PLAIN.filter(explained)
    assert logs.PLAIN.filter(mistake)
    assert explained.exc_info is None
    assert mistake.exc_info is not None
