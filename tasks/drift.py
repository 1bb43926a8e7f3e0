"""Steps of a check: a look at each plane, side by side, and its report."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Collection, Mapping
from datetime import UTC, datetime

from prefect.artifacts import acreate_markdown_artifact, acreate_table_artifact

from infra.clients.errors import NotFound, PlumblineError, Unforeseen, explained
from infra.clients.openstack import OpenStackClient
from infra.clients.private import write_private
from infra.drift import verdict_report
from infra.drift.findings import PlaneName, PlaneVerdict
from infra.drift.fleet import FleetVerdict
from infra.drift.verdict import Verdict
from infra.planes import addons, canary, certificates, delivery, dns, reaching, runners, storage
from infra.planes.clients import Clients
from infra.planes.cloud import check, strays
from infra.planes.looking import Looked, blind_spot
from infra.settings import Settings
from infra.spec.models import Environment
from tasks.step import step

LOOKS: Mapping[PlaneName, Callable[[Environment, Clients], Awaitable[Looked]]] = {
    PlaneName.CLUSTER: check.look,
    PlaneName.STORAGE: storage.look,
    PlaneName.ADDONS: addons.look,
    PlaneName.DNS: dns.look,
    PlaneName.CERTIFICATES: certificates.look,
    PlaneName.DELIVERY: delivery.look,
    PlaneName.RUNNERS: runners.look,
}
"""How each plane is looked at."""


VERDICTS = "verdicts"
"""Folder in state_dir with the newest verdict of each environment, for who reads them without asking Prefect."""
PATIENCE = 120.0
"""Seconds a plane may take to be looked at; a check is due again every few minutes."""
log = logging.getLogger(f"infra.{__name__}")


@step("reach the cluster to look", timeout=120, retries=0)
async def reach_for_looking(environment: Environment, clients: Clients) -> str | None:
    """Connect to the cluster's API; says why where it cannot, since a check goes on without."""
    return await reaching.reach(environment, clients)


@step("look at {plane}", timeout=2 * PATIENCE, retries=0)
async def look_at_plane(
    plane: PlaneName, environment: Environment, clients: Clients, unreachable: str | None
) -> PlaneVerdict:
    """Look at one plane without changing anything.

    What keeps it from looking makes the verdict unknown, never the run a failure: the other planes' still count. It is
    not tried again beyond the clients' own short retries, since the next check comes anyway.
    """
    looked_at, began = datetime.now(UTC), time.monotonic()
    try:
        if unreachable is not None and plane is not PlaneName.CLUSTER:
            raise NotFound("The cluster cannot be reached.", detail=unreachable)
        with explained():
            async with asyncio.timeout(PATIENCE):
                seen = await LOOKS[plane](environment, clients)
    except PlumblineError as error:
        if isinstance(error, Unforeseen):
            log.exception("%s", plane)
        seen = Looked(blind_spots=(blind_spot(plane, plane, error),))
    seconds = round(time.monotonic() - began, 3)
    return PlaneVerdict.of(
        plane, seen.findings, seen.blind_spots, looked_at=looked_at, seconds=seconds, notes=seen.notes
    )


@step("strays in {cloud}", timeout=300, retries=0)
async def look_for_strays(cloud: str, declared: Collection[str], settings: Settings) -> Looked:
    """Look in a cloud's project for what carries our mark although no environment is declared for it."""
    async with OpenStackClient(cloud, settings, read_only=True) as openstack:
        return await strays.strays(declared, openstack)


@step("report", timeout=60)
async def publish_verdict(verdict: Verdict, settings: Settings) -> None:
    """Publish a verdict for people (Markdown), for tables, and as a JSON document."""
    key = f"verdict-{verdict.environment}"
    text, rows = verdict_report.markdown(verdict), verdict_report.rows(verdict)
    await asyncio.gather(
        acreate_markdown_artifact(text, key=key, description=verdict.sentence()),
        acreate_table_artifact(rows, key=f"{key}-findings", description=f"Findings of {verdict.environment}"),
    )
    path = settings.state_dir / VERDICTS / f"{verdict.environment}.json"
    await asyncio.to_thread(write_private, path, verdict.model_dump_json(indent=2))


@step("fleet report", timeout=60)
async def publish_fleet(verdict: FleetVerdict) -> None:
    """Publish a fleet's verdict for people (Markdown) and as a table."""
    await acreate_markdown_artifact(verdict.markdown(), key="fleet-verdict", description=verdict.sentence())
    await acreate_table_artifact(verdict.rows(), key="fleet-environments", description=verdict.sentence())


@step("canary", timeout=600)
async def exercise_canary(environment: Environment, clients: Clients) -> list[str]:
    """Make a known difference in objects of our own, and see whether a look finds it; a sentence for each it missed."""
    return await canary.exercise(environment, clients)
