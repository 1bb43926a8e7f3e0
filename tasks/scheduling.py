"""Prefect's schedules of drift checks, kept to what git declares; and checks that need not be made twice."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import httpx
from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.actions import DeploymentScheduleCreate
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterName,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import DeploymentSchedule, FlowRun, StateType
from prefect.client.schemas.responses import DeploymentResponse
from prefect.client.schemas.schedules import IntervalSchedule
from prefect.exceptions import ObjectNotFound

from infra.clients.errors import NotFound, Unavailable
from infra.spec.fields import format_duration
from tasks.step import step

CHECK, RECONCILE = "check-drift/check-drift", "reconcile/reconcile"
PREFIX = "plumbline"
"""Of the slugs of our schedules: one an environment; others at a deployment are somebody else's."""
HEALED_EVERY, SUNG_EVERY = timedelta(hours=1), timedelta(days=1)


@step("schedules", timeout=60)
async def keep_schedules(every: Mapping[str, timedelta]) -> list[str]:
    """Schedule a check of each environment as often as git says, and of no other; returns what was changed.

    Each also gets one a day with the detector's canary, and a paused schedule for being reconciled: whoever wants that
    switches it on.

    Args:
        every: time between two checks, by environment.
    """
    try:
        async with get_client() as client:
            checks, heals = [await client.read_deployment_by_name(name) for name in (CHECK, RECONCILE)]
            checked = await _keep(client, checks, every, active=True)
            sung = await _keep(client, checks, dict.fromkeys(every, SUNG_EVERY), active=True, canary=True)
            healed = await _keep(client, heals, dict.fromkeys(every, HEALED_EVERY), active=False)
            return checked + sung + healed
    except ObjectNotFound as error:
        missing = f"Prefect has no deployment {CHECK} or {RECONCILE}."
        raise NotFound(missing, hint="Deploy them: python -m deployments.deploy.") from error
    except httpx.HTTPError as error:
        raise Unavailable("Prefect's API did not answer.", detail=str(error)) from error


async def _keep(
    client: PrefectClient,
    deployment: DeploymentResponse,
    every: Mapping[str, timedelta],
    *,
    active: bool,
    **more: bool,
) -> list[str]:
    """Keep the schedules of one deployment that start it with the environment's name and `more`."""
    prefix = "-".join([PREFIX, *more, ""])
    there = {one.slug: one for one in deployment.schedules if one.slug and _ours(one, prefix, more)}
    wanted = {f"{prefix}{name}": (name, interval) for name, interval in every.items()}
    changed: list[str] = []
    creates: list[DeploymentScheduleCreate] = []
    for slug in sorted(there.keys() - wanted.keys()):
        await client.delete_deployment_schedule(deployment.id, there[slug].id)
        changed.append(f"{slug.removeprefix(prefix)}: no {deployment.name} any more")
    for slug, (environment, interval) in sorted(wanted.items()):
        known = there.get(slug)
        parameters = {"name": environment, **more}
        if known is not None and _as_wanted(known, parameters, interval):
            continue
        if known is not None:
            await client.delete_deployment_schedule(deployment.id, known.id)
        schedule = IntervalSchedule(interval=interval, anchor_date=_anchor(environment, interval))
        now_active = known.active if known else active
        creates.append(DeploymentScheduleCreate(schedule=schedule, active=now_active, parameters=parameters, slug=slug))
        paused = "" if active else ", paused"
        how = "".join(f" with {word}" for word in more)
        changed.append(f"{environment}: {deployment.name}{how} every {format_duration(interval)}{paused}")
    if creates:
        # All at once: one by one, those of a hundred environments took Prefect's server minutes.
        await client.create_deployment_schedules(deployment.id, creates)
    return changed


def _ours(known: DeploymentSchedule, prefix: str, more: Mapping[str, bool]) -> bool:
    return str(known.slug).startswith(prefix) and known.parameters.keys() == {"name", *more}


def _as_wanted(known: DeploymentSchedule, parameters: Mapping[str, Any], interval: timedelta) -> bool:
    schedule = known.schedule
    # Whether it is active is not looked at: one that somebody has paused stays paused.
    every = schedule.interval if isinstance(schedule, IntervalSchedule) else None
    return every == interval and known.parameters == parameters


def _anchor(name: str, interval: timedelta) -> datetime:
    """Where in the interval an environment's checks lie: spread by name, so that a fleet is not checked all at once."""
    share = sum(name.encode()) * 37 % 100 / 100
    return datetime(2026, 1, 1, tzinfo=UTC) + interval * share


async def superseded(name: str, run: UUID, deployment: UUID, longest: timedelta) -> str | None:
    """Why a scheduled check of an environment need not be made: another is at work, or a later one is due already.

    Args:
        run: this flow run.
        longest: a run that began earlier than this has lost its process, whatever Prefect believes.
    """
    now = datetime.now(UTC)
    async with get_client() as client:
        at_work = await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            flow_run_filter=_in_state(StateType.RUNNING, name=FlowRunFilterName(any_=[f"check {name}"])),
        )
        due = await client.read_flow_runs(
            deployment_filter=DeploymentFilter(id=DeploymentFilterId(any_=[deployment])),
            flow_run_filter=_in_state(StateType.SCHEDULED),
        )
    mine = next((one.start_time for one in at_work if one.id == run), None) or now
    for other in at_work:
        began = other.start_time
        if began and began > now - longest and (began, str(other.id)) < (mine, str(run)):
            return f"Another check of {name} is at work since {began:%H:%M:%S} UTC."
    waiting = [one for one in due if _is_due(one, name, now)]
    return f"A later check of {name} is due already." if waiting else None


def _in_state(state: StateType, **more: Any) -> FlowRunFilter:
    return FlowRunFilter(state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[state])), **more)


def _is_due(run: FlowRun, name: str, now: datetime) -> bool:
    when = run.next_scheduled_start_time
    return run.parameters.get("name") == name and when is not None and when <= now
