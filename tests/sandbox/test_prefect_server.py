"""What we count on of a real Prefect server, without a cloud."""

from __future__ import annotations

import asyncio
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.events.schemas.events import Event
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings
from pytest_httpserver import HTTPServer
from sqlalchemy import create_engine, select, update
from werkzeug import Request, Response

from deployments.automations import FOUND, RECONCILE_ON_DRIFT
from deployments.prefect_server import LocalPrefect
from deployments.settings import PrefectSettings
from infra.ledger.tables import CheckRow, NewsRow
from infra.settings import ROOT
from tasks import scheduling
from tasks.announcing import resource
from tests.platform import PORT_BASE, WORKER
from tests.waiting import until

pytestmark = [pytest.mark.sandbox]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPrefect]:
    """A server with our deployments, and no worker."""
    local = LocalPrefect(
        PrefectSettings(port=PORT_BASE + 400 * WORKER + 95, start_timeout=300), tmp_path_factory.mktemp("prefect")
    )
    try:
        local.start_server()
        local.deploy_when_ready()
        yield local
    finally:
        local.stop()


@pytest.fixture
def api(prefect: LocalPrefect) -> Iterator[httpx.Client]:
    """A client of its API."""
    with prefect.api() as client:
        yield client


@pytest.fixture
def keep(prefect: LocalPrefect, monkeypatch: pytest.MonkeyPatch) -> Callable[..., list[str]]:
    """`keep_schedules` at that server."""

    def kept(every: dict[str, timedelta]) -> list[str]:
        settings = {PREFECT_API_URL: prefect.variables()["PREFECT_API_URL"]}
        settings[PREFECT_API_AUTH_STRING] = prefect.auth_string()
        with temporary_settings(settings):
            return asyncio.run(scheduling.keep_schedules.fn(every))

    return kept


def test_a_schedule_starts_runs(api: httpx.Client) -> None:
    """With a wrong version of SQLAlchemy its scheduler fails at each insert, and says so in the server's log only."""
    deployment = _deployment(api, "check-fleet")["id"]
    of = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until(lambda: bool(api.post("flow_runs/filter", json=of).json()), "a run to be scheduled")


TELLER = """
import asyncio, sys
from datetime import UTC, datetime
from pathlib import Path
from prefect import flow
from prefect.blocks.notifications import CustomWebhookNotificationBlock
from flows import logs
from infra.drift.findings import Finding, PlaneName, PlaneVerdict
from infra.ledger import Ledger
from infra.settings import Settings
from tasks.announcing import tell

@flow(name="teller")
async def teller(folder, hook, first):
    logs.set_up()
    async with Ledger.open(Settings(state_dir=Path(folder))) as ledger:
        if first:
            block = CustomWebhookNotificationBlock(name="ops", url=hook, json_data={"body": "{{body}}"})
            await block.save("news", overwrite=True)
            now = datetime(2026, 3, 2, tzinfo=UTC)
            found = [Finding(plane=PlaneName.ADDONS, address="ConfigMap/a", sentence="It differs.")]
            verdict = PlaneVerdict.of(PlaneName.ADDONS, found, (), looked_at=now, seconds=1)
            await ledger.record_check(environment="told", commit=None, verdicts=[verdict], began=now, seconds=1)
        await tell("told", ledger, ["custom-webhook/news"])

asyncio.run(teller(sys.argv[1], sys.argv[2], sys.argv[3] == "first"))
"""


def test_a_process_killed_while_it_tells_leaves_one_event_and_the_alarm_to_the_next(
    prefect: LocalPrefect, api: httpx.Client, tmp_path: Path, httpserver: HTTPServer
) -> None:
    """Killed when Prefect has the event, before anybody was notified and before the ledger knows."""
    asked, heard, over = threading.Event(), [], threading.Event()

    def hook(request: Request) -> Response:
        if not asked.is_set():
            asked.set()
            over.wait(60)
            return Response(status=503)
        heard.append(request.get_json()["body"])
        return Response("")

    httpserver.expect_request("/news").respond_with_handler(hook)

    def start(which: str) -> subprocess.Popen[bytes]:
        arguments = [sys.executable, "-c", TELLER, str(tmp_path), httpserver.url_for("/news"), which]
        return subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, **prefect.variables()})

    def events() -> list[dict[str, Any]]:
        wanted = {"filter": {"resource": {"id": ["plumbline.environment.told"]}}}
        found: list[dict[str, Any]] = api.post("events/filter", json=wanted).json()["events"]
        return found

    with start("first") as child:
        try:
            assert asked.wait(60), "it has begun to notify"
        finally:
            child.kill()
            over.set()
    until(lambda: len(events()) == 1, "Prefect to have the event")
    engine = create_engine(f"sqlite:///{tmp_path}/ledger.sqlite")
    with engine.begin() as connection:  # the time that its teller had to tell it is over
        connection.execute(update(NewsRow).values(claimed_at=datetime(2026, 3, 2, tzinfo=UTC)))
    engine.dispose()
    for _ in range(2):
        assert start("again").wait(60) == 0
    assert heard == ["New: [config] It differs."]
    # Events are handled in their order: when this one is there, what came before it is, too.
    last = Event(event="told", resource=resource("told"))
    api.post("events", json=[last.model_dump(mode="json")]).raise_for_status()
    until(lambda: any(one["event"] == "told" for one in events()), "Prefect to have handled every event")
    (event,) = [one for one in events() if one["event"] != "told"]
    assert event["event"] == "plumbline.drift.found"
    assert "flow-run" in {one["prefect.resource.role"] for one in event["related"]}


CHECK = """
import asyncio, sys
from datetime import timedelta
from flows import check_drift as checking

checking.LAST_WORDS = checking.LONGEST - timedelta(seconds=float(sys.argv[1]))
asyncio.run(checking.check_drift("late"))
"""


@pytest.mark.parametrize(("seconds", "cancelled"), [(2, False), (600, True)], ids=["too long", "cancelled"])
def test_a_check_that_takes_too_long_is_told_of_and_one_that_is_cancelled_is_not(
    prefect: LocalPrefect, api: httpx.Client, tmp_path: Path, httpserver: HTTPServer, seconds: int, cancelled: bool
) -> None:
    """The flow itself, over a repository that accepts questions and never answers."""
    asked, over = threading.Event(), threading.Event()

    def silent(_: Request) -> Response:
        asked.set()
        over.wait(60)
        return Response(status=503)

    httpserver.expect_request(re.compile("/late.git/.*")).respond_with_handler(silent)
    variables = {
        "PLUMBLINE_STATE_DIR": str(tmp_path),
        "PLUMBLINE_ENVIRONMENTS_REPOSITORY": httpserver.url_for("/late.git"),
        # The thread that asks is waited for before the process ends.
        "PLUMBLINE_REQUEST_TIMEOUT": "10",
    }
    arguments = [sys.executable, "-c", CHECK, str(seconds)]
    with subprocess.Popen(arguments, cwd=ROOT, env={**os.environ, **prefect.variables(), **variables}) as child:
        try:
            if cancelled:
                assert asked.wait(60), "the repository was asked"
                child.send_signal(signal.SIGTERM)
            assert child.wait(120) != 0
        finally:
            child.kill()
            over.set()
    engine = create_engine(f"sqlite:///{tmp_path}/ledger.sqlite")
    with engine.connect() as connection:
        known = connection.execute(select(CheckRow.stale)).scalars().all()
        told = connection.execute(select(NewsRow.event).where(NewsRow.told_at.is_not(None))).scalars().all()
    engine.dispose()
    if cancelled:
        assert (known, told) == ([], [])
        return
    assert known == ["The check failed: The check was not done in time."]
    (event,) = told
    wanted = {"filter": {"id": {"id": [event]}}}
    until(lambda: bool(api.post("events/filter", json=wanted).json()["events"]), "Prefect to have the event")


def test_what_people_switch_on_or_off_stays_so(
    prefect: LocalPrefect, api: httpx.Client, keep: Callable[..., list[str]]
) -> None:
    every = {"eu": timedelta(minutes=15), "canary-eu": timedelta(minutes=7)}
    assert len(keep(every)) == 6
    try:
        # As Prefect's page does it: what it does not send of a schedule is cleared.
        for name, slug, active in (
            ("check-fleet", "hourly", False),
            ("check-drift", "plumbline-eu", False),
            ("check-drift", "plumbline-eu.canary", False),
            ("reconcile", "plumbline-eu", True),
        ):
            _switch(api, name, slug, active)
        api.post(f"deployments/{_deployment(api, 'drift-report')['id']}/pause_deployment").raise_for_status()
        prefect.deploy()
        assert len(keep(every)) == 3
        assert keep(every) == []
        assert _deployment(api, "drift-report")["paused"] is True
        assert _schedules(api, "check-fleet") == {"hourly": (False, {})}
        assert _schedules(api, "reconcile")["plumbline-eu"] == (True, {"name": "eu"})
        assert _schedules(api, "check-drift") == {
            "plumbline-canary-eu": (True, {"name": "canary-eu"}),
            "plumbline-canary-eu.canary": (True, {"name": "canary-eu", "canary": True}),
            "plumbline-eu": (False, {"name": "eu"}),
            "plumbline-eu.canary": (False, {"name": "eu", "canary": True}),
        }
    finally:
        _switch(api, "check-fleet", "hourly", True)


def test_the_automation_reconciles_what_a_check_has_found_and_not_what_a_reconciliation_has(
    api: httpx.Client,
) -> None:
    """A reconciliation that broke something new each time it mends something would otherwise start itself for ever."""
    wanted = {"automations": {"name": {"any_": [RECONCILE_ON_DRIFT]}}}
    (automation,) = api.post("automations/filter", json=wanted).raise_for_status().json()
    assert automation["enabled"] is False
    of = {"deployments": {"id": {"any_": [_deployment(api, "reconcile")["id"]]}}}

    def tell(environment: str, flow: str) -> None:
        cause = {
            "prefect.resource.id": f"prefect.flow.{flow}",
            "prefect.resource.role": "flow",
            "prefect.resource.name": flow,
        }
        event = {
            "id": str(uuid4()),
            "occurred": datetime.now(UTC).isoformat(),
            "event": FOUND,
            "resource": resource(environment),
            "related": [cause],
            "payload": {},
        }
        api.post("events", json=[event]).raise_for_status()

    def started() -> list[str]:
        runs = api.post("flow_runs/filter", json=of).raise_for_status().json()
        return sorted(one["parameters"]["name"] for one in runs if not one["auto_scheduled"])

    def listens() -> bool:
        tell("first", "check-drift")
        return "first" in started()

    api.patch(f"automations/{automation['id']}", json={"enabled": True}).raise_for_status()
    try:
        # Prefect reads a changed automation some time after it has said that it is changed.
        until(listens, "a run by what is switched on")
        for environment, flow in (("eu", "reconcile"), ("eu", "check-drift"), ("us", "check-fleet")):
            tell(environment, flow)
        until(lambda: "us" in started(), "a run by the last event")
        until(lambda: "eu" in started(), "a run by the one before it")
        assert [name for name in started() if name != "first"] == ["eu", "us"]
    finally:
        api.patch(f"automations/{automation['id']}", json={"enabled": False}).raise_for_status()


def test_old_runs_go_with_their_logs_and_artifacts_but_not_the_newest_verdict(
    prefect: LocalPrefect, api: httpx.Client
) -> None:
    of = _deployment(api, "check-drift")["flow_id"]
    runs: dict[str, str] = {}
    for what in ("gone", "kept"):
        body = {"flow_id": of, "name": what, "state": {"type": "COMPLETED"}}
        runs[what] = api.post("flow_runs/", json=body).raise_for_status().json()["id"]
        log = {"name": "l", "level": 20, "message": what, "flow_run_id": runs[what]}
        api.post("logs/", json=[log | {"timestamp": datetime.now(UTC).isoformat()}]).raise_for_status()
        for key in (f"report-{what}", f"verdict-{what}"):
            artifact = {"key": key, "type": "markdown", "data": what, "flow_run_id": runs[what]}
            api.post("artifacts/", json=artifact).raise_for_status()

    assert _swept(prefect) == []
    _age(prefect, gone=20, kept=16)
    assert _swept(prefect) == ["verdict-gone", "verdict-kept"]
    assert _swept(prefect) == []
    _age(prefect, gone=31, kept=29)
    # It looks when it starts, and once an hour.
    prefect.stop()
    prefect.start_server()
    prefect.wait_server()
    until(lambda: api.get(f"flow_runs/{runs['gone']}").status_code == 404, "the old run to go")
    until(lambda: not _artifacts(api, "report-gone"), "what it has published to go")
    assert api.get(f"flow_runs/{runs['kept']}").status_code == 200
    assert {key: _artifacts(api, key) for key in ("report-kept", "verdict-gone", "verdict-kept")} == {
        "report-kept": ["kept"],
        "verdict-gone": ["gone"],
        "verdict-kept": ["kept", "kept"],
    }
    assert api.get("artifacts/verdict-gone/latest").raise_for_status().json()["data"] == "gone"
    logged = api.post("logs/filter", json={}).raise_for_status().json()
    assert [one["message"] for one in logged if one["message"] in runs] == ["kept"]


SWEEP = """
import asyncio, json
from datetime import timedelta
from prefect import flow
from tasks.keeping import keep_newest_verdicts

@flow
async def sweep():
    return await keep_newest_verdicts(timedelta(days=30))

print(json.dumps(asyncio.run(sweep())))
"""


def _swept(prefect: LocalPrefect) -> list[str]:
    """What a sweep has published again, in a process of its own: Prefect leaves connections open to its end."""
    done = subprocess.run(
        [sys.executable, "-c", SWEEP],
        cwd=ROOT,
        env={**os.environ, **prefect.variables()},
        capture_output=True,
        text=True,
        check=True,
        timeout=120,
    )
    return list(json.loads(done.stdout.splitlines()[-1]))


def _age(prefect: LocalPrefect, **days: int) -> None:
    """Let runs have ended so many days ago, by name: the API lets nobody say so."""
    with closing(sqlite3.connect(prefect.auth_file.with_name("prefect.db"), timeout=30)) as database, database:
        for name, age in days.items():
            ended = (datetime.now(UTC) - timedelta(days=age)).strftime("%Y-%m-%d %H:%M:%S.%f")
            changed = database.execute("UPDATE flow_run SET end_time = ? WHERE name = ?", (ended, name))
            assert changed.rowcount == 1


def _artifacts(api: httpx.Client, key: str) -> list[str]:
    found = api.post("artifacts/filter", json={"artifacts": {"key": {"any_": [key]}}}).raise_for_status().json()
    return [one["data"] for one in found]


def _deployment(api: httpx.Client, name: str) -> dict[str, Any]:
    return dict(api.get(f"deployments/name/{name}/{name}").raise_for_status().json())


def _schedules(api: httpx.Client, name: str) -> dict[str, tuple[bool, dict[str, Any]]]:
    return {one["slug"]: (one["active"], one["parameters"]) for one in _deployment(api, name)["schedules"]}


def _switch(api: httpx.Client, name: str, slug: str, active: bool) -> None:
    deployment = _deployment(api, name)
    (schedule,) = [one for one in deployment["schedules"] if one["slug"] == slug]
    where = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    api.patch(where, json={"active": active}).raise_for_status()
