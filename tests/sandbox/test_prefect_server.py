"""What we count on of a real Prefect server, without a cloud."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from datetime import timedelta
from typing import Any

import httpx
import pytest
from prefect.settings import PREFECT_API_AUTH_STRING, PREFECT_API_URL, temporary_settings

from deployments.prefect_server import LocalPrefect
from deployments.settings import PrefectSettings
from tasks import scheduling
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


def _deployment(api: httpx.Client, name: str) -> dict[str, Any]:
    return dict(api.get(f"deployments/name/{name}/{name}").raise_for_status().json())


def _schedules(api: httpx.Client, name: str) -> dict[str, tuple[bool, dict[str, Any]]]:
    return {one["slug"]: (one["active"], one["parameters"]) for one in _deployment(api, name)["schedules"]}


def _switch(api: httpx.Client, name: str, slug: str, active: bool) -> None:
    deployment = _deployment(api, name)
    (schedule,) = [one for one in deployment["schedules"] if one["slug"] == slug]
    where = f"deployments/{deployment['id']}/schedules/{schedule['id']}"
    api.patch(where, json={"active": active}).raise_for_status()
