"""Steps of the drift report: reading what the ledger remembers, and publishing what it adds up to."""

from __future__ import annotations

import asyncio
import base64
from datetime import UTC, datetime, timedelta
from pathlib import Path

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from infra.clients.errors import NotFound
from infra.clients.private import write_private
from infra.drift import chart
from infra.drift.report import DriftReport
from infra.drift.report_texts import markdown, rows
from infra.drift.reporting import drift_report
from infra.ledger import Ledger
from infra.settings import Settings
from tasks.step import step


@step("read the drift history", timeout=120)
async def read_drift_history(name: str | None, days: int, settings: Settings) -> DriftReport:
    """Add up what the ledger knows of the last days, and of no more than it remembers.

    Raises:
        NotFound: the ledger knows nothing of that environment.
    """
    until = datetime.now(UTC)
    since = until - timedelta(days=min(days, settings.ledger_keep))
    async with Ledger.open(settings) as ledger:
        history = await ledger.drift_history(since=since, environment=name)
        known = {one.name: one.state for one in await ledger.environments() if name in (None, one.name)}
        if name is not None and name not in known and not history.onsets:
            if not await ledger.checks(name, limit=1):
                others = ", ".join(one.name for one in await ledger.environments())
                hint = f"It knows: {others}." if others else "Look for drift first: python -m flows.check_drift NAME."
                raise NotFound(f"The ledger knows nothing of an environment {name}.", hint=hint)
            known[name] = "unknown"
    # A fleet's month is a few hundred thousand checks: the loop stays free for Prefect meanwhile.
    return await asyncio.to_thread(drift_report, history, until=until, environment=name, known=known)


@step("report", timeout=120)
async def publish_drift_report(report: DriftReport, folder: Path) -> None:
    """Publish the report for people, with its chart, and what is open as a table.

    Args:
        folder: where the chart is kept, too, as `<key>.svg`.
    """
    of = f"-{report.environment}" if report.environment else ""
    key = f"drift-report{of}"
    drawn = await asyncio.to_thread(chart.svg, report)
    await asyncio.to_thread(write_private, folder / f"{key}.svg", drawn)
    # Inside the page itself: a browser follows no link from Prefect's page to a file of this machine.
    image = f"data:image/svg+xml;base64,{base64.b64encode(drawn.encode()).decode()}"
    await acreate_markdown_artifact(markdown(report, image), key=key, description=report.sentence())
    await acreate_table_artifact(rows(report), key=f"open-drift{of}", description="Open drift")
