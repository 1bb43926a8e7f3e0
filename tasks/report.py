"""Publishing a run's report where people and programs look for it: as artifacts in Prefect."""

from __future__ import annotations

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from infra.planes.reconciliation import Reconciliation
from infra.planes.report import RunReport
from tasks.step import step


@step("report", timeout=60)
async def publish_report(report: RunReport) -> None:
    """Publish the report as Markdown for people and as a table for programs."""
    key = f"environment-{report.environment}"
    await acreate_markdown_artifact(report.markdown(), key=key, description=report.sentence())
    rows = [step.model_dump(mode="json", exclude={"made"}) | {"made": ", ".join(step.made)} for step in report.steps]
    await acreate_table_artifact(rows, key=f"{key}-steps", description=f"Steps of {report.flow}")


@step("reconciliation", timeout=60)
async def publish_reconciliation(done: Reconciliation) -> None:
    """Publish what a reconciliation found and did, for people."""
    key = f"reconcile-{done.environment}"
    await acreate_markdown_artifact(done.markdown(), key=key, description=done.sentence())
