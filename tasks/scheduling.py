"""Prefect's schedules of drift checks and reconciliations, kept to what git declares."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.objects import DeploymentSchedule
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound

from infra.clients.errors import NotFound, Unavailable
from infra.spec.fields import format_duration
from tasks.step import step

CHECK, RECONCILE = "check-drift/check-drift", "reconcile/reconcile"
PREFIX, CANARY = "plumbline-", ".canary"
"""How the slugs of our schedules begin, and that of a canary's ends: no environment's name has a dot."""
OLD_CANARY = "canary-"
"""How a canary's slug went on after the prefix before: so does that of an environment named so."""
HEALED_EVERY, A_DAY = timedelta(hours=1), timedelta(days=1)


@dataclass(frozen=True)
class Schedule:
    """One schedule as it is wanted."""

    environment: str
    interval: timedelta
    anchor: datetime
    canary: bool = False
    active: bool = True
    """Whether it starts runs, when it is made: from then on, that is for people to say."""

    @property
    def slug(self) -> str:
        """What tells it from all others at its deployment, and whose it is."""
        return f"{PREFIX}{self.environment}{CANARY if self.canary else ''}"

    @property
    def parameters(self) -> dict[str, Any]:
        """What it starts the flow with."""
        return {"name": self.environment} | ({"canary": True} if self.canary else {})

    def words(self, flow: str) -> str:
        """What it does, in words."""
        how = f"{flow} with canary" if self.canary else flow
        return f"{self.environment}: {how} every {format_duration(self.interval)}"

    def as_prefects(self) -> IntervalSchedule:
        """As Prefect has it; for what is to be written alone: it reads every time zone there is to check one."""
        return IntervalSchedule(interval=self.interval, anchor_date=self.anchor)


@step("schedules", timeout=60)
async def keep_schedules(every: Mapping[str, timedelta], unread: Collection[str] = ()) -> list[str]:
    """Schedule a check of each environment as often as git says, and of no other; returns what was changed.

    Each also gets about one a day with the detector's canary, and a paused schedule for being reconciled: whoever wants
    that switches it on.

    Args:
        every: time between two checks, by environment.
        unread: environments that are declared, too, but how is not known: their schedules stay as they are.
    """
    try:
        async with get_client() as client:
            checks, heals = [await client.read_deployment_by_name(name) for name in (CHECK, RECONCILE)]
            checked = await _keep(client, checks, [*_checks(every)], unread)
            healed = await _keep(client, heals, [*_reconciliations(every)], unread)
            return checked + healed
    except ObjectNotFound as error:
        missing = f"Prefect has no deployment {CHECK} or {RECONCILE}."
        raise NotFound(missing, hint="Deploy them: python -m deployments.deploy.") from error
    except httpx.HTTPError as error:
        raise Unavailable("Prefect's API did not answer.", detail=str(error)) from error


def _checks(every: Mapping[str, timedelta]) -> Iterator[Schedule]:
    """The checks of each environment, and the ones with the canary (pure).

    Those are half-way between two others, and stay there, since their interval is a multiple of the others': the most
    that fits into a day.
    """
    for name, interval in sorted(every.items()):
        first, times = _anchor(name, interval), max(1, A_DAY // interval)
        sung = first + interval / 2 + interval * int(times * _share(name))
        yield Schedule(name, interval, first)
        yield Schedule(name, interval * times, sung, canary=True)


def _reconciliations(every: Mapping[str, timedelta]) -> Iterator[Schedule]:
    """A schedule for being reconciled, off, of each environment (pure)."""
    for name in sorted(every):
        yield Schedule(name, HEALED_EVERY, _anchor(name, HEALED_EVERY), active=False)


async def _keep(
    client: PrefectClient, deployment: DeploymentResponse, schedules: Collection[Schedule], unread: Collection[str]
) -> list[str]:
    """Keep the schedules of one deployment."""
    wanted = {one.slug: one for one in schedules}
    there = {_slug(one, wanted): one for one in deployment.schedules if (one.slug or "").startswith(PREFIX)}
    changed: list[str] = []
    for slug in sorted(there.keys() - wanted.keys()):
        environment = slug.removeprefix(PREFIX).removesuffix(CANARY)
        if environment not in unread:
            await client.delete_deployment_schedule(deployment.id, there[slug].id)
            changed.append(f"{environment}: no {deployment.name} any more")
    for slug in sorted(wanted.keys() & there.keys()):
        one, known = wanted[slug], there[slug]
        if not _as_wanted(known, one):
            # Everything is given: Prefect takes what is left out for cleared. One that somebody has paused stays so.
            await client.update_deployment_schedule(
                deployment.id, known.id, known.active, one.as_prefects(), parameters=one.parameters, slug=slug
            )
            changed.append(one.words(deployment.name))
    # All at once: one by one, those of a hundred environments took Prefect's server minutes.
    new = [wanted[slug] for slug in sorted(wanted.keys() - there.keys())]
    if new:
        await client.create_deployment_schedules(deployment.id, [_create(one) for one in new])
    changed += [f"{one.words(deployment.name)}{'' if one.active else ', paused'}" for one in new]
    return changed


def _create(one: Schedule) -> DeploymentScheduleCreate:
    schedule = one.as_prefects()
    return DeploymentScheduleCreate(schedule=schedule, active=one.active, parameters=one.parameters, slug=one.slug)


def _slug(known: DeploymentSchedule, wanted: Collection[str]) -> str:
    """The slug of a schedule that is there, in today's form (pure).

    Parameters tell an old one, and so does, where they are lost, that there is no environment of that name: whoever
    pauses a schedule in Prefect's UI clears its parameters.
    """
    slug = known.slug or ""
    old = slug.startswith(f"{PREFIX}{OLD_CANARY}") and not slug.endswith(CANARY)
    if old and (known.parameters.get("canary") or (not known.parameters and slug not in wanted)):
        return f"{PREFIX}{slug.removeprefix(PREFIX + OLD_CANARY)}{CANARY}"
    return slug


def _as_wanted(known: DeploymentSchedule, one: Schedule) -> bool:
    """Whether one that is there needs no change; whether it is active is not looked at."""
    schedule = known.schedule
    if not isinstance(schedule, IntervalSchedule):
        return False
    when = (schedule.interval, schedule.anchor_date) == (one.interval, one.anchor)
    return when and known.slug == one.slug and known.parameters == one.parameters


def _anchor(name: str, interval: timedelta) -> datetime:
    """Where in the interval an environment's checks lie: spread by name, so that a fleet is not checked all at once."""
    return datetime(2026, 1, 1, tzinfo=UTC) + interval * _share(name)


def _share(name: str) -> float:
    return sum(name.encode()) * 37 % 100 / 100
