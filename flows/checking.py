"""What every check has: a declaration at one commit, clients that can only read, a look at each plane, a verdict."""

from __future__ import annotations

import asyncio
import time
from datetime import UTC, datetime
from typing import cast

from prefect.utilities.annotations import quote

from infra.catalog import Catalog
from infra.drift.findings import PlaneName, PlaneVerdict
from infra.drift.verdict import Verdict
from infra.ledger import ReadOnlyJournal
from infra.planes.clients import Clients, open_clients
from infra.settings import Settings
from infra.spec.models import Environment
from infra.spec.repository import LoadedEnvironment
from tasks.drift import look_at_plane, publish_verdict, reach_for_looking

VERDICTS = "verdicts"
"""Folder in state_dir with the newest verdict of each environment."""


async def check(loaded: LoadedEnvironment, settings: Settings, catalog: Catalog) -> Verdict:
    """Look at every plane of one environment, and publish the verdict."""
    environment = loaded.environment
    looked_at, began = datetime.now(UTC), time.monotonic()
    async with open_clients(
        environment, settings=settings, catalog=catalog, journal=ReadOnlyJournal(), read_only=True
    ) as clients:
        planes = await _look(environment, clients)
    verdict = Verdict.of(
        environment.name,
        loaded.commit,
        planes,
        waivers=environment.spec.policy.drift.waivers,
        looked_at=looked_at,
        seconds=time.monotonic() - began,
    )
    await publish_verdict(cast(Verdict, quote(verdict)), settings.state_dir / VERDICTS)
    return verdict


async def _look(environment: Environment, clients: Clients) -> list[PlaneVerdict]:
    """Look at the planes side by side; those in the cluster after it has been reached."""
    # Quoted: Prefect would look through both for results of earlier steps, and find edges that mean nothing.
    wanted, by = cast(Environment, quote(environment)), cast(Clients, quote(clients))
    unreachable = await reach_for_looking(wanted, by)
    looks = (look_at_plane(plane, wanted, by, unreachable) for plane in PlaneName)
    return list(await asyncio.gather(*looks))
