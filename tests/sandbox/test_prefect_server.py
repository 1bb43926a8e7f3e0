"""What we count on of a real Prefect server, without a cloud."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from deployments.prefect_server import LocalPrefect
from deployments.settings import PrefectSettings
from tests.platform import PORT_BASE, WORKER
from tests.sandbox.meddling import until

pytestmark = [pytest.mark.sandbox]


@pytest.fixture
def api(tmp_path: Path) -> Iterator[httpx.Client]:
    """Of a server with our deployments, and no worker."""
    prefect = LocalPrefect(PrefectSettings(port=PORT_BASE + 400 * WORKER + 95), tmp_path)
    prefect.start_server()
    try:
        prefect.wait_server()
        prefect.deploy()
        with prefect.api() as client:
            yield client
    finally:
        prefect.stop()


def test_a_schedule_starts_runs(api: httpx.Client) -> None:
    """With a wrong version of SQLAlchemy its scheduler fails at each insert, and says so in the server's log only."""
    deployment = api.get("deployments/name/check-fleet/check-fleet").json()["id"]
    of = {"deployments": {"id": {"any_": [deployment]}}, "flow_runs": {"state": {"type": {"any_": ["SCHEDULED"]}}}}
    until(lambda: bool(api.post("flow_runs/filter", json=of).json()), "a run is scheduled")
