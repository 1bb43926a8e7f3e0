"""The drift report's flow on a real ledger: only Prefect's artifacts are replaced."""

from __future__ import annotations

import base64
import re
import stat
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from flows import drift_report as reporting
from infra.clients.errors import NotFound
from infra.drift.findings import Finding, PlaneName, PlaneVerdict
from infra.drift.report import DriftReport
from infra.ledger import Ledger
from infra.settings import Settings
from tasks import history


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What is published, by key; the steps' bodies are run as they are, without Prefect's engine around them."""
    kept: dict[str, Any] = {}

    async def publish(content: Any, *, key: str, description: str) -> None:
        assert re.fullmatch("[a-z0-9-]+", key) and description
        kept[key] = content

    async def steps_body(report: Any, folder: Path) -> None:
        await history.publish_drift_report.fn(report.unquote(), folder)

    monkeypatch.setattr(history, "acreate_markdown_artifact", publish)
    monkeypatch.setattr(history, "acreate_table_artifact", publish)
    monkeypatch.setattr(reporting, "read_drift_history", history.read_drift_history.fn)
    monkeypatch.setattr(reporting, "publish_drift_report", steps_body)
    monkeypatch.setattr(reporting, "get_settings", lambda: Settings(state_dir=tmp_path))
    return kept


async def check(folder: Path, environment: str, *addresses: str) -> None:
    began = datetime.now(UTC) - timedelta(minutes=1)
    found = [Finding(plane=PlaneName.DNS, address=address, sentence=f"{address} is gone.") for address in addresses]
    verdict = PlaneVerdict.of(PlaneName.DNS, found, (), looked_at=began, seconds=1)
    async with Ledger.open(Settings(state_dir=folder)) as ledger:
        await ledger.record_check(environment=environment, commit=None, verdicts=[verdict], began=began, seconds=2)


async def run(name: str | None = None, days: int = 30) -> DriftReport:
    report = await reporting.drift_report.fn(name, days)
    assert isinstance(report, DriftReport)
    return report


async def test_the_report_of_all_environments(published: dict[str, Any], tmp_path: Path) -> None:
    await check(tmp_path, "dev", "recordset/a")
    await check(tmp_path, "prod")
    report = await run()
    assert report.sentence() == "1 finding open in 1 of 2 environments."
    assert set(published) == {"drift-report", "open-drift"}
    assert [row["address"] for row in published["open-drift"]] == ["recordset/a"]
    page = published["drift-report"]
    assert page.startswith("# ") and "recordset/a" in page
    (image,) = re.findall(r"\(data:image/svg\+xml;base64,([^)]+)\)", page)
    chart = tmp_path / "reports/drift-report.svg"
    assert base64.b64decode(image) == chart.read_bytes()
    assert chart.read_bytes().startswith(b"<?xml") and stat.S_IMODE(chart.stat().st_mode) == 0o600


async def test_the_report_of_one_environment_stands_beside_it(published: dict[str, Any], tmp_path: Path) -> None:
    await check(tmp_path, "dev", "recordset/a")
    await check(tmp_path, "prod", "recordset/b")
    report = await run("prod", days=1)
    assert [one.environment for one in report.environments] == ["prod"]
    assert [onset.address for onset in report.onsets] == ["recordset/b"]
    assert report.until - report.since == timedelta(days=1)
    assert set(published) == {"drift-report-prod", "open-drift-prod"}
    assert (tmp_path / "reports/drift-report-prod.svg").exists()


async def test_an_environment_nobody_knows_is_not_one_without_drift(published: dict[str, Any]) -> None:
    with pytest.raises(NotFound, match="knows nothing of an environment nope") as caught:
        await run("nope")
    assert caught.value.hint == "Look for drift first: python -m flows.check_drift NAME."
    assert published == {}


async def test_of_a_name_nobody_knows_those_are_named_that_are_known(published: dict[str, Any], tmp_path: Path) -> None:
    async with Ledger.open(Settings(state_dir=tmp_path)) as ledger:
        for name in ("dev", "prod"):
            await (await ledger.begin("create-environment", name, None)).end("ready")
    with pytest.raises(NotFound) as caught:
        await run("prd")
    assert caught.value.hint == "It knows: dev, prod."


async def test_the_report_of_one_that_was_removed_says_so(published: dict[str, Any], tmp_path: Path) -> None:
    await check(tmp_path, "dev", "recordset/a")
    async with Ledger.open(Settings(state_dir=tmp_path)) as ledger:
        await (await ledger.begin("destroy-environment", "dev", None)).end("removed")
    report = await run("dev")
    assert re.fullmatch(r"Environment dev was removed on [0-9: -]+ UTC\.", report.sentence())
    assert (report.open, [one.cleared_by is None for one in report.onsets]) == ([], [False])
    assert report.offenders == ()


async def test_one_that_was_looked_at_longer_ago_is_known(published: dict[str, Any], tmp_path: Path) -> None:
    long_ago = datetime.now(UTC) - timedelta(days=20)
    async with Ledger.open(Settings(state_dir=tmp_path)) as ledger:
        await ledger.record_check(environment="dev", commit=None, verdicts=[], began=long_ago, seconds=2)
    report = await run("dev", days=7)
    assert report.sentence() == "Whether environment dev has drifted is not known: not looked at in this time."


async def test_a_new_ledger_has_a_report_too(published: dict[str, Any]) -> None:
    assert (
        await run()
    ).sentence() == "No environment was looked at yet: python -m flows.check_drift NAME looks at one."
    assert published["open-drift"] == []


async def test_an_environment_that_stands_and_was_never_looked_at_is_unknown(
    published: dict[str, Any], tmp_path: Path
) -> None:
    async with Ledger.open(Settings(state_dir=tmp_path)) as ledger:
        made = await ledger.begin("create-environment", "dev", None)
        await made.end("ready")
    (one,) = (await run("dev")).environments
    assert (one.state, one.checks) == ("unknown", 0)
    assert "not looked at in this time" in published["drift-report-dev"]
