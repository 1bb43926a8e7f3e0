"""What we count on of a real Prefect server, without a cloud."""

from __future__ import annotations

import asyncio
import json
import os
import sqlite3
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, closing
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import uuid4

import httpx
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.automations import FOUND, RECONCILE_ON_DRIFT
from deployments.prefect_server import LocalPrefect
from deployments.settings import PrefectSettings
from infra.settings import ROOT
from tasks import scheduling
from tasks.announcing import resource
from tests.platform import PORT_BASE, WORKER
from tests.sandbox.meddling import until

pytestmark = [pytest.mark.sandbox]


@pytest.fixture(scope="module")
def prefect(tmp_path_factory: pytest.TempPathFactory) -> Iterator[LocalPrefect]:
    """A server with our deployments, and no worker."""
    started = LocalPrefect(PrefectSettings(port=PORT_BASE + 400 * WORKER + 95), tmp_path_factory.mktemp("prefect"))
    started.start_server()
    try:
        started.wait_server()
        started.deploy()
        yield started
    finally:
        started.stop()


@pytest.fixture
def api(prefect: LocalPrefect) -> Iterator[httpx.Client]:
    with prefect.api() as client:
        yield client


@pytest.fixture
def keep(prefect: LocalPrefect) -> Callable[..., list[str]]:
    """`keep_schedules` at that server."""

    def kept(every: dict[str, timedelta]) -> list[str]:
        with _settings(prefect):
            return asyncio.run(scheduling.keep_schedules.fn(every))

    return kept


def test_a_schedule_starts_runs(api: httpx.Client) -> None:
    """With a wrong version of SQLAlchemy its scheduler fails at each insert, and says so in the server's log only."""
    deployment = _deployment(api, "check-fleet")["id"]
    of = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until(lambda: bool(api.post("flow_runs/filter", json=of).json()), "a run is scheduled")


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
    api.patch(f"automations/{automation['id']}", json={"enabled": True}).raise_for_status()
    try:
        for environment, flow in (("eu", "reconcile"), ("eu", "check-drift"), ("us", "check-fleet")):
            event = {
                "id": str(uuid4()),
                "occurred": datetime.now(UTC).isoformat(),
                "event": FOUND,
                "resource": resource(environment),
                "related": [
                    {
                        "prefect.resource.id": f"prefect.flow.{flow}",
                        "prefect.resource.role": "flow",
                        "prefect.resource.name": flow,
                    },
                ],
                "payload": {},
            }
            api.post("events", json=[event]).raise_for_status()
        of = {"deployments": {"id": {"any_": [_deployment(api, "reconcile")["id"]]}}}

        def started() -> list[str]:
            runs = api.post("flow_runs/filter", json=of).raise_for_status().json()
            return sorted(one["parameters"]["name"] for one in runs if not one["auto_scheduled"])

        until(lambda: "us" in started(), "the last event has started a run")
        until(lambda: "eu" in started(), "so has the one before it")
        assert started() == ["eu", "us"]
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
    until(lambda: api.get(f"flow_runs/{runs['gone']}").status_code == 404, "the old run is gone")
    until(lambda: not _artifacts(api, "report-gone"), "and what it has published")
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


def _settings(prefect: LocalPrefect) -> AbstractContextManager[object]:
    """Prefect's own client at that server."""
    variables = prefect.variables()
    return temporary_settings(
        {PREFECT_API_URL: variables["PREFECT_API_URL"], PREFECT_API_AUTH_STRING: variables["PREFECT_API_AUTH_STRING"]}
    )


def _deployment(api: httpx.Client, name: str) -> dict[str, Any]:
    return dict(api.get(f"deployments/name/{name}/{name}").raise_for_status().json())


def _schedules(api: httpx.Client, name: str) -> dict[str, tuple[bool, dict[str, Any]]]:
    return {one["slug"]: (one["active"], one["parameters"]) for one in _deployment(api, name)["schedules"]}


def _switch(api: httpx.Client, name: str, slug: str, active: bool) -> None:
    deployment = _deployment(api, name)
    (schedule,) = [one for one in deployment["schedules"] if one["slug"] == slug]
    where = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    api.patch(where, json={"active": active}).raise_for_status()
