"""What every check has: a declaration at one commit, clients that can only read, a look at each plane, a verdict.

And an end that is heard of: what is new, or why there was no check (tasks.announcing).
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import time
from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

from prefect.runtime import flow_run

from flows.quoting import unsearched
from infra.catalog import Catalog
from infra.clients.errors import NotFound, PlumblineError, Unavailable, Unforeseen, explained
from infra.clients.masking import MASKER
from infra.drift.concealing import masked
from infra.drift.findings import PlaneName, PlaneVerdict
from infra.drift.news import Failure
from infra.drift.verdict import Verdict
from infra.ledger import CANARY, Ledger, ReadOnlyJournal, RunRecord
from infra.planes.clients import Clients, open_clients
from infra.settings import Settings
from infra.spec.models import Environment
from infra.spec.repository import LoadedEnvironment
from tasks.announcing import tell, tell_without_ledger
from tasks.drift import exercise_canary, look_at_plane, publish_verdict, reach_for_looking
from tasks.scheduling import A_DAY

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
    last_canary = await ledger.last_run(CANARY, environment.name, ("found", "missed"))
    verdict = Verdict.of(
        environment.name,
        loaded.commit,
        planes,
        waivers=policy.waivers,
        looked_at=looked_at,
        seconds=time.monotonic() - began,
        stale=_stale(last_canary),
        notes=[*await _at_work(ledger, environment.name, besides), *_unproved(last_canary, looked_at, policy.every)],
    )
    await ledger.record_check(
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
    # Before the report, which may take long to fail: what is recorded is out of its hands.
    await tell(environment.name, ledger, settings.notify, opening=verdict.sentence(), besides=besides)
    await publish_verdict(unsearched(verdict), settings)
    return verdict


@contextlib.asynccontextmanager
async def open_ledger(name: str | None, settings: Settings) -> AsyncIterator[Ledger]:
    """Open the ledger; that it cannot be opened is announced without it.

    Args:
        name: the environment that is to be checked; None for all.
    """
    async with contextlib.AsyncExitStack() as stack:
        try:
            with explained():
                ledger = await stack.enter_async_context(Ledger.open(settings))
        except PlumblineError as error:
            await tell_without_ledger(name, Failure.of(error), settings.notify)
            raise
        yield ledger


@contextlib.asynccontextmanager
async def failing_loudly(
    name: str, ledger: Ledger, settings: Settings, *, until: float | None = None
) -> AsyncIterator[None]:
    """Record and announce a check that could not be carried out, once for each new reason.

    A check that is cancelled has not failed: somebody wanted it so.

    Args:
        until: when the check must have ended, by the clock of the event loop. Prefect's own limit of a flow arrives as
            a cancellation: so that it is not taken for one, this has to come first.
    """
    began = datetime.now(UTC)
    try:
        with explained():
            async with _in_time(until):
                yield
    except PlumblineError as error:
        if isinstance(error, Unforeseen):
            log.exception("%s", name)
        await _announce(name, Failure.of(error), ledger, settings, began)
        raise


@contextlib.asynccontextmanager
async def _in_time(until: float | None) -> AsyncIterator[None]:
    limit = asyncio.timeout_at(until)
    try:
        async with limit:
            yield
    except TimeoutError as error:
        if not limit.expired():
            raise
        hint = "The verdicts before say how long each plane took."
        raise Unavailable("The check was not done in time.", hint=hint) from error


async def _announce(name: str, failure: Failure, ledger: Ledger, settings: Settings, began: datetime) -> None:
    try:
        await ledger.record_check(
            environment=name, commit=None, verdicts=(), began=began, seconds=0, flow_run_id=flow_run.id, failure=failure
        )
    except PlumblineError as error:
        log.warning("The ledger could not note that the check of %s failed. %s", name, error)
        await tell_without_ledger(name, failure, settings.notify)
    else:
        await tell(name, ledger, settings.notify)


async def _look(environment: Environment, clients: Clients) -> list[PlaneVerdict]:
    """Look at the planes side by side; those in the cluster after it has been reached."""
    wanted, by = unsearched(environment), unsearched(clients)
    unreachable = await reach_for_looking(wanted, by)
    looks = (look_at_plane(plane, wanted, by, unreachable) for plane in PlaneName)
    # Only now: one plane may have read a secret that another has shown before.
    return [masked(plane, MASKER.mask) for plane in await asyncio.gather(*looks)]


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


def _stale(canary: RunRecord | None) -> str | None:
    """Why verdicts on an environment must not be trusted: what the last canary says that was exercised."""
    if canary is None or canary.state == "found":
        return None
    return f"on {canary.started:%Y-%m-%d %H:%M} UTC, {canary.reason}"


def _unproved(canary: RunRecord | None, now: datetime, every: timedelta) -> list[str]:
    """That no canary was exercised where two should have been: nobody knows whether looks still find what differs."""
    if canary is None or now - canary.started <= 2 * max(A_DAY, every):
        return []
    return [f"The canary was last exercised on {canary.started:%Y-%m-%d %H:%M} UTC; it is due every day."]


async def _at_work(ledger: Ledger, name: str, besides: str | None) -> list[str]:
    """A sentence for each run that is changing the environment meanwhile: what is half done looks like drift."""
    return [
        f"{run.flow} is at work since {run.started:%Y-%m-%d %H:%M:%S} UTC: what it is changing may show as drift."
        for run in await ledger.running(name)
        if run.id != besides
    ]
