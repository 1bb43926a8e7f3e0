"""The read-only check of the cluster plane: Terraform's eyes and our own, side by side.

    looked = await check(environment, clients)

Nothing is written: Terraform plans on a copy of its state without a lock, and Magnum and Nova are only asked. A look
that fails leaves the other standing, and makes a blind spot.
"""

from __future__ import annotations

import asyncio
from typing import Protocol

from infra.clients.calling import retried
from infra.planes import access
from infra.planes.clients import Clients
from infra.planes.cloud.judge import Judged, judge
from infra.planes.cloud.seen import ask, see
from infra.planes.looking import Looked
from infra.spec.models import Environment
from infra.terraform.looking import Look, PlanReader
from infra.terraform.variables import Variables

PLANS = 2
"""How often Terraform looks where the cloud does not answer it."""


class Reader(Protocol):
    """Whoever can say what Terraform would do."""

    async def plan(self) -> Look:
        """Look, and change nothing."""


async def look(environment: Environment, clients: Clients) -> Looked:
    """Look at the cloud, and at the role of those who look."""
    return Looked.together([await check(environment, clients), await access.look(clients)])


async def check(environment: Environment, clients: Clients, *, reader: Reader | None = None) -> Looked:
    """Look at an environment's keypair, template, cluster and node groups.

    Where the two looks do not agree, or something declared is not there, both look a second time, and only that counts:
    they do not look at the same instant, and Magnum shows things half made.

    Args:
        environment: as git declares it.
        clients: its OpenStack client is only asked to read.
        reader: Terraform's eyes; those of `PlanReader` by default.

    Returns:
        Findings, blind spots and notes; nothing is raised.
    """
    wanted = Variables.of(environment, cluster_timeout=clients.settings.cluster_timeout)
    eyes = reader or PlanReader(wanted, settings=clients.settings)
    judged = await _look(wanted, clients, eyes)
    if judged.doubted or judged.gone:
        judged = await _look(wanted, clients, eyes, before=judged)
    return judged.looked


async def _look(wanted: Variables, clients: Clients, reader: Reader, *, before: Judged | None = None) -> Judged:
    # Terraform asks each question once where its provider is not told otherwise: a plan that failed is made again.
    plan = retried(reader.plan, attempts=PLANS)
    seen, look = await asyncio.gather(see(wanted.environment, clients.openstack), ask(plan))
    return judge(wanted, seen, look, doubted=before.doubted if before else frozenset())
