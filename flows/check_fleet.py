"""Look for drift in every declared environment, and keep the schedules of their checks to what git says.

python -m flows.check_fleet
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from prefect import flow

from flows import logs
from flows.cancelling import cancelled_by_sigterm
from flows.checking import check, failing_loudly, open_ledger
from flows.parameters import Commit
from flows.quoting import unsearched
from infra.catalog import Catalog
from infra.clients.errors import PlumblineError, explained
from infra.drift.findings import Finding
from infra.drift.fleet import FailedCheck, FleetVerdict
from infra.drift.verdict import Verdict
from infra.ledger import Ledger
from infra.settings import Settings, get_settings
from infra.spec.repository import LoadedEnvironment, Snapshot
from tasks.declaration import load_fleet
from tasks.drift import look_for_strays, publish_fleet
from tasks.keeping import keep_newest_verdicts
from tasks.scheduling import keep_schedules

LONGEST = timedelta(hours=1)
LAST_WORDS = timedelta(minutes=10)
"""Of it, what is left for what follows the checks; what is not checked by then has failed."""
AT_A_TIME = 4
"""Environments looked at side by side: each waits for its own cloud most of the time."""


@flow(name="check-fleet", flow_run_name="check fleet", timeout_seconds=LONGEST.total_seconds())
async def check_fleet(commit: Commit = None) -> FleetVerdict:
    """Look for drift in every declared environment without changing any, and keep the schedules of their checks.

    Args:
        commit: The exact commit to compare with, 7 to 40 hexadecimal digits; when empty, the newest of the branch.
    """
    logs.set_up()
    looked_at, began = datetime.now(UTC), time.monotonic()
    until = asyncio.get_running_loop().time() + (LONGEST - LAST_WORDS).total_seconds()
    with cancelled_by_sigterm(), explained():
        settings, catalog = get_settings(), Catalog.load()
        async with open_ledger(None, settings) as ledger:
            fleet = await load_fleet(commit, settings, frozenset(catalog))
            loaded, failed = await _declared(fleet, ledger, settings)
            results = await _sweep(loaded, settings, catalog, ledger, until)
            unforgotten = await _forget(ledger, settings)
        strays, unseen = await _strays(fleet, loaded, settings)
        scheduled, notes = await _schedule(loaded, fleet.names, commit)
        verdict = FleetVerdict(
            commit=fleet.commit,
            looked_at=looked_at,
            seconds=round(time.monotonic() - began, 3),
            verdicts=tuple(one for one in results if isinstance(one, Verdict)),
            failed=(*failed, *(one for one in results if isinstance(one, FailedCheck))),
            strays=tuple(strays),
            scheduled=tuple(scheduled),
            notes=(*notes, *unseen, *unforgotten, *await _keep_verdicts(settings)),
        )
        await publish_fleet(unsearched(verdict))
        return verdict


async def _declared(
    fleet: Snapshot, ledger: Ledger, settings: Settings
) -> tuple[list[LoadedEnvironment], list[FailedCheck]]:
    """Every environment whose declaration is valid, and why the others' are not."""
    loaded: list[LoadedEnvironment] = []
    failed: list[FailedCheck] = []
    for name in fleet.names:
        try:
            async with failing_loudly(name, ledger, settings):
                loaded.append(fleet.load(name))
        except PlumblineError as error:
            failed.append(_failed(name, error))
    return loaded, failed


async def _sweep(
    loaded: list[LoadedEnvironment], settings: Settings, catalog: Catalog, ledger: Ledger, until: float | None = None
) -> list[Verdict | FailedCheck]:
    """Check them, a few at a time; one that cannot be checked keeps nobody from the others.

    Args:
        until: when all must have been checked, by the clock of the event loop.
    """
    turns = asyncio.Semaphore(AT_A_TIME)

    async def one(item: LoadedEnvironment) -> Verdict | FailedCheck:
        name = item.environment.name
        async with turns:
            try:
                async with failing_loudly(name, ledger, settings, until=until):
                    return await check(item, settings, catalog, ledger)
            except PlumblineError as error:
                return _failed(name, error)

    return list(await asyncio.gather(*(one(item) for item in loaded)))


async def _strays(
    fleet: Snapshot, loaded: list[LoadedEnvironment], settings: Settings
) -> tuple[list[Finding], list[str]]:
    """What carries our mark in the clouds of this fleet and belongs to no declared environment, valid or not."""
    found: list[Finding] = []
    unseen: list[str] = []
    for cloud in sorted({item.environment.spec.cloud for item in loaded}):
        try:
            with explained():
                seen = await look_for_strays(cloud, frozenset(fleet.names), settings)
        except PlumblineError as error:
            unseen.append(f"Cloud {cloud} was not searched for strays. {error}")
            continue
        found += seen.findings
        unseen += [f"Not looked at in cloud {cloud}: {spot.what}: {spot.why}" for spot in seen.blind_spots]
    return found, unseen


async def _forget(ledger: Ledger, settings: Settings) -> list[str]:
    """Let the ledger forget what is too old; where it cannot, the sweep still counts, and says so."""
    try:
        await ledger.prune(keep=timedelta(days=settings.ledger_keep))
    except PlumblineError as error:
        return [f"The ledger was not pruned. {error}"]
    return []


async def _keep_verdicts(settings: Settings) -> list[str]:
    """Keep newest verdicts beyond their runs; where that fails, the next sweep has time for it."""
    try:
        with explained():
            await keep_newest_verdicts(timedelta(days=settings.prefect_keep))
    except PlumblineError as error:
        return [f"The newest verdicts were not looked after. {error}"]
    return []


async def _schedule(
    loaded: list[LoadedEnvironment], declared: Collection[str], commit: str | None
) -> tuple[list[str], list[str]]:
    """Keep the schedules; without a deployment to schedule, the sweep still counts, and says so.

    Args:
        declared: the names of all environments: what cannot be loaded keeps the schedules it has.
        commit: the one that was asked about, if one was: schedules follow the branch, not a look back.
    """
    if commit is not None:
        return [], []
    every = {item.environment.name: item.environment.spec.policy.drift.every for item in loaded}
    try:
        with explained():
            return await keep_schedules(every, [name for name in declared if name not in every]), []
    except PlumblineError as error:
        return [], [f"The schedules were not looked at. {error}"]


def _failed(name: str, error: PlumblineError) -> FailedCheck:
    return FailedCheck(environment=name, category=error.category, why=str(error))


if __name__ == "__main__":
    from flows.command import main

    main(check_fleet, formats={"markdown": FleetVerdict.markdown})
