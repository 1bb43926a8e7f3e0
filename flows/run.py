"""What every run of a flow has: the declaration it was started for, clients, the ledger, and a report at its end."""

from __future__ import annotations

import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

from prefect.runtime import flow_run

from flows import logs
from flows.cancelling import cancelled_by_sigterm
from flows.quoting import unsearched
from infra.catalog import Catalog
from infra.clients.errors import explained
from infra.clients.stopwatch import Stopwatch, measured
from infra.ledger import Ledger, LedgerRun
from infra.planes.clients import Clients, open_clients
from infra.planes.report import RunReport, StepReport, StepState
from infra.settings import Settings, get_settings
from infra.spec.models import Environment
from infra.spec.repository import LoadedEnvironment
from tasks.declaration import load_environment
from tasks.report import publish_report


@dataclass(frozen=True)
class Run:
    """One run over one environment."""

    flow: str
    loaded: LoadedEnvironment
    settings: Settings
    clients: Clients
    book: Ledger
    """The whole ledger."""
    ledger: LedgerRun
    """This run in it."""
    stopwatch: Stopwatch
    began: float

    @property
    def environment(self) -> Environment:
        """What is declared."""
        return self.loaded.environment

    async def conclude(self, steps: tuple[StepReport, ...]) -> RunReport:
        """Publish the report, and end the flow as its steps ended; errors as for `judge`."""
        report = await self.report(steps)
        self.judge(report)
        return report

    @staticmethod
    def judge(report: RunReport) -> None:
        """End the flow as its steps ended.

        Raises:
            PlumblineError: a step failed; of that step's category, and the report says why and what to do.
        """
        if report.state == "failed":
            raise report.error()

    async def report(self, steps: tuple[StepReport, ...]) -> RunReport:
        """Keep the steps in the ledger, and publish the report on them."""
        failed = any(step.state in (StepState.FAILED, StepState.NOT_STARTED) for step in steps)
        removed = self.flow == "destroy-environment"
        seconds = time.monotonic() - self.began
        report = RunReport(
            flow=self.flow,
            environment=self.environment.name,
            commit=self.loaded.commit,
            state="failed" if failed else "removed" if removed else "ready",
            seconds=round(seconds, 1),
            waited={name: round(spent, 1) for name, spent in self.stopwatch.waited().items()},
            overhead=round(seconds - self.stopwatch.total(), 1),
            steps=steps,
        )
        await self.ledger.finish(report)
        await publish_report(unsearched(report))
        return report


@asynccontextmanager
async def open_run(flow: str, name: str, commit: str | None) -> AsyncIterator[Run]:
    """Read the declaration at one commit, open clients and ledger, and close them again whatever happens."""
    began = time.monotonic()
    logs.set_up()
    with cancelled_by_sigterm(), explained():
        settings, catalog = get_settings(), Catalog.load()
        loaded = await load_environment(name, commit, settings, frozenset(catalog))
        with measured() as stopwatch:
            async with Ledger.open(settings) as ledger:
                run = await ledger.begin(flow, name, loaded.commit, flow_run.id)
                async with open_clients(
                    loaded.environment, settings=settings, catalog=catalog, journal=run.journal, clusters=run
                ) as clients:
                    yield Run(flow, loaded, settings, clients, ledger, run, stopwatch, began)
