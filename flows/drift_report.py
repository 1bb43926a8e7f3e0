"""Report on drift from the ledger alone: what is open, how fast it is found and repaired, and who keeps at it.

python -m flows.drift_report --format csv --output drift.csv
"""

from __future__ import annotations

from prefect import flow

from flows import logs
from flows.cancelling import cancelled_by_sigterm
from flows.parameters import Days, EnvironmentName
from flows.quoting import unsearched
from infra.clients.errors import explained
from infra.drift.report import DriftReport
from infra.settings import get_settings
from tasks.history import publish_drift_report, read_drift_history

REPORTS = "reports"
"""Folder in state_dir with the newest charts."""


@flow(name="drift-report", flow_run_name="drift of {days} days", timeout_seconds=600)
async def drift_report(name: EnvironmentName | None = None, days: Days = 30) -> DriftReport:
    """Report on drift: what is open, mean time to detect and repair, worst offenders, and its history as a chart.

    Only the ledger is read: nothing is looked at anew.

    Args:
        name: Name of the environment; when empty, all of them.
        days: How many days back, 1 to 366; never further than the ledger remembers (PLUMBLINE_LEDGER_KEEP).
    """
    logs.set_up()
    with cancelled_by_sigterm(), explained():
        settings = get_settings()
        report = await read_drift_history(name, days, settings)
        await publish_drift_report(unsearched(report), settings.state_dir / REPORTS)
        return report


if __name__ == "__main__":
    from flows.command import main
    from infra.drift import chart, report_texts

    main(
        drift_report,
        formats={
            "markdown": report_texts.markdown,
            "csv": report_texts.csv_text,
            "svg": chart.svg,
        },
    )
