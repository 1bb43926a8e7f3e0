"""What every check has: a declaration at one commit, clients that can only read, a look at each plane, a verdict."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime

from prefect.runtime import flow_run

from flows.quoting import unsearched
from infra.catalog import Catalog
from infra.clients.errors import NotFound, PlumblineError, Unforeseen, explained
from infra.drift.findings import PlaneName, PlaneVerdict
from infra.drift.verdict import Verdict
from infra.ledger import CANARY, Ledger, ReadOnlyJournal
from infra.planes.clients import Clients, open_clients
from infra.settings import Settings
from infra.spec.models import Environment
from infra.spec.repository import LoadedEnvironment
from tasks.announcing import announce_failure
from tasks.drift import exercise_canary, look_at_plane, publish_verdict, reach_for_looking

log = logging.getLogger(f"infra.{__name__}")


async def check(
    loaded: LoadedEnvironment,
    settings: Settings,
    catalog: Catalog,
    ledger: Ledger,
    *,
    besides: str | None = None,
    canary: bool = False,
) -> Verdict:
    """Look at every plane of one environment, record and publish the verdict, and announce what is new in it.

    Args:
        canary: see first whether a look finds what is made different on purpose.
        besides: the run that this look belongs to; others that are at work are named in the verdict.
    """
    environment = loaded.environment
    policy = environment.spec.policy.drift
    if canary:
        await _exercise(loaded, settings, catalog, ledger)
    looked_at, began = datetime.now(UTC), time.monotonic()
    async with open_clients(
        environment, settings=settings, catalog=catalog, journal=ReadOnlyJournal(), read_only=True
    ) as clients:
        planes = await _look(environment, clients)
    verdict = Verdict.of(
        environment.name,
        loaded.commit,
        planes,
        waivers=policy.waivers,
        looked_at=looked_at,
        seconds=time.monotonic() - began,
        stale=await _stale(ledger, environment.name),
        notes=await _at_work(ledger, environment.name, besides),
    )
    changes = await ledger.record_check(
        environment=environment.name,
        commit=loaded.commit,
        verdicts=verdict.planes,
        began=looked_at,
        seconds=verdict.seconds,
        declared_interval=policy.every,
        due=flow_run.scheduled_start_time,
        flow_run_id=flow_run.id,
        stale=verdict.stale,
    )
    await publish_verdict(unsearched(verdict), unsearched(changes), settings)
    return verdict


@contextlib.asynccontextmanager
async def failing_loudly(name: str, ledger: Ledger, settings: Settings) -> AsyncIterator[None]:
    """Record and announce a check that could not be carried out, once for each new reason."""
    began = datetime.now(UTC)
    try:
        with explained():
            yield
    except PlumblineError as error:
        if isinstance(error, Unforeseen):
            log.exception("%s", name)
        reason = f"The check failed: {error.summary}"
        before = await ledger.checks(name, limit=1)
        await ledger.record_check(
            environment=name, commit=None, verdicts=(), began=began, seconds=0, flow_run_id=flow_run.id, stale=reason
        )
        if not before or before[0].summary.stale != reason:
            await announce_failure(name, error, settings.notify)
        raise


async def _look(environment: Environment, clients: Clients) -> list[PlaneVerdict]:
    """Look at the planes side by side; those in the cluster after it has been reached."""
    wanted, by = unsearched(environment), unsearched(clients)
    unreachable = await reach_for_looking(wanted, by)
    looks = (look_at_plane(plane, wanted, by, unreachable) for plane in PlaneName)
    return list(await asyncio.gather(*looks))


async def _exercise(loaded: LoadedEnvironment, settings: Settings, catalog: Catalog, ledger: Ledger) -> None:
    """Exercise the canary, and keep whether the look found it."""
    name = loaded.environment.name
    run = await ledger.begin(CANARY, name, loaded.commit, flow_run.id)
    try:
        async with open_clients(loaded.environment, settings=settings, catalog=catalog, journal=run.journal) as clients:
            wanted, by = unsearched(loaded.environment), unsearched(clients)
            unreachable = await reach_for_looking(wanted, by)
            if unreachable is not None:
                raise NotFound("The cluster cannot be reached.", detail=unreachable)
            missed = await exercise_canary(wanted, by)
    except PlumblineError as error:
        # That it could not be made says nothing of the look: what was known of it stays.
        log.warning("The canary could not be exercised. %s", error)
        await run.end("failed", str(error))
        return
    await run.end("missed" if missed else "found", " ".join(missed) or None)


async def _stale(ledger: Ledger, name: str) -> str | None:
    """Why verdicts on an environment must not be trusted: what the last canary says that was exercised."""
    last = await ledger.last_run(CANARY, name, ("found", "missed"))
    if last is None or last.state == "found":
        return None
    return f"on {last.started:%Y-%m-%d %H:%M} UTC, {last.reason}"


async def _at_work(ledger: Ledger, name: str, besides: str | None) -> list[str]:
    """A sentence for each run that is changing the environment meanwhile: what is half done looks like drift."""
    return [
        f"{run.flow} is at work since {run.started:%Y-%m-%d %H:%M:%S} UTC: what it is changing may show as drift."
        for run in await ledger.running(name)
        if run.id != besides
    ]
