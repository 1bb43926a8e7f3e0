"""Runs that need not be made: another is at work, waits already, or has answered since."""

from __future__ import annotations

from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

from prefect.client.orchestration import PrefectClient, get_client
from prefect.client.schemas.filters import (
    DeploymentFilter,
    DeploymentFilterId,
    FlowRunFilter,
    FlowRunFilterExpectedStartTime,
    FlowRunFilterId,
    FlowRunFilterName,
    FlowRunFilterStartTime,
    FlowRunFilterState,
    FlowRunFilterStateType,
)
from prefect.client.schemas.objects import FlowRun, StateType
from prefect.client.schemas.sorting import FlowRunSort
from prefect.exceptions import ObjectNotFound

SKIPPED = "Skipped"
"""Name of the state of a run that was not needed: it has answered nothing."""


async def superseded(run: FlowRun, longest: timedelta) -> str | None:
    """Why a check that a deployment has started need not be made.

    Of checks that are at work, the one that began first goes on. A later one that only waits is left to make the check;
    one that a worker has already taken (pending) is not, since it will see this one at work, and step back itself.

    Args:
        run: the flow run of the check.
        longest: a run that began earlier than this has lost its process, whatever Prefect believes.
    """
    now = datetime.now(UTC)
    name = run.parameters.get("name")
    due = run.expected_start_time or now
    # Not run.start_time: Prefect does not tell it to the run itself.
    mine = (run.state.timestamp if run.state is not None and run.state.is_running() else now, str(run.id))
    async with get_client() as client:
        begun = _filter(
            run,
            (StateType.RUNNING, StateType.COMPLETED),
            # What waits has no such name yet: it is given when a run begins.
            name=FlowRunFilterName(any_=[f"check {name}"]),
            start_time=FlowRunFilterStartTime(after_=min(due, now - longest)),
        )
        async for other in _read(client, run, begun):
            began = other.start_time or now
            if other.state_type is StateType.RUNNING:
                if began > now - longest and (began, str(other.id)) < mine:
                    return f"Another check of {name} is at work since {began:%H:%M:%S} UTC."
            elif other.state_name != SKIPPED and _later(other, due):
                return f"A later check of {name} was made at {began:%H:%M:%S} UTC."
        between = FlowRunFilterExpectedStartTime(after_=due, before_=now)
        async for other in _read(client, run, _filter(run, (StateType.SCHEDULED,), expected_start_time=between)):
            if _later(other, due):
                return f"A later check of {name} is due already."
    return None


async def ended(flow_run_id: str | None) -> bool:
    """Whether Prefect knows that a flow run is over; what it does not know, or forgot, is not.

    Args:
        flow_run_id: None for a run of which that is not known.
    """
    if flow_run_id is None:
        return False
    async with get_client() as client:
        try:
            run = await client.read_flow_run(UUID(flow_run_id))
        except ObjectNotFound:
            return False
    return run.state is not None and run.state.is_final()


def _filter(run: FlowRun, states: tuple[StateType, ...], **more: Any) -> FlowRunFilter:
    """Other runs in one of these states."""
    in_state = FlowRunFilterState(type=FlowRunFilterStateType(any_=[*states]))
    return FlowRunFilter(id=FlowRunFilterId(not_any_=[run.id]), state=in_state, **more)


async def _read(client: PrefectClient, run: FlowRun, which: FlowRunFilter) -> AsyncIterator[FlowRun]:
    """All such runs of the deployment that ask what this run asks: Prefect hands over 200 at a time."""
    of = DeploymentFilter(id=DeploymentFilterId(any_=[run.deployment_id] if run.deployment_id else []))
    read = 0
    while page := await client.read_flow_runs(
        deployment_filter=of, flow_run_filter=which, sort=FlowRunSort.ID_DESC, offset=read
    ):
        read += len(page)
        for other in page:
            if _asks_the_same(other, run):
                yield other


def _asks_the_same(other: FlowRun, run: FlowRun) -> bool:
    """Whether the other's answer is also this one's: of the newest commit, and with the canary if this one has it."""
    theirs, ours = other.parameters, run.parameters
    canary = bool(theirs.get("canary")) or not ours.get("canary")
    return theirs.get("name") == ours.get("name") and not theirs.get("commit") and canary


def _later(other: FlowRun, due: datetime) -> bool:
    return other.expected_start_time is not None and other.expected_start_time > due
