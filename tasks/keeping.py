"""What is to outlive the runs that made it, when Prefect forgets those."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from uuid import UUID

import httpx
from prefect.client.orchestration import get_client
from prefect.client.schemas.actions import ArtifactCreate
from prefect.client.schemas.filters import (
    ArtifactCollectionFilter,
    ArtifactCollectionFilterKey,
    FlowRunFilter,
    FlowRunFilterEndTime,
)
from prefect.runtime import flow_run

from infra.clients.errors import Unavailable
from tasks.step import step

AT_ONCE = 20
"""Verdicts that are read at a time: one may be large."""


@step("newest verdicts", timeout=120)
async def keep_newest_verdicts(keep: timedelta) -> list[str]:
    """Publish the newest verdict of an environment again before Prefect forgets it with its run; returns the keys.

    So it is there also of an environment that nobody has been able to look at for long.

    Args:
        keep: how long Prefect keeps flow runs; half of it is left for this to happen in.
    """
    ended = FlowRunFilterEndTime(before_=datetime.now(UTC) - keep / 2)
    published: list[str] = []
    try:
        async with get_client() as client:
            # What is published again is of this run, and no longer among them.
            while old := await client.read_latest_artifacts(
                artifact_filter=ArtifactCollectionFilter(key=ArtifactCollectionFilterKey(like_="verdict-%")),
                flow_run_filter=FlowRunFilter(end_time=ended),
                limit=AT_ONCE,
            ):
                for one in old:
                    # Not by prefect.artifacts, which would encode once more what is encoded.
                    again = ArtifactCreate(key=one.key, type=one.type, description=one.description, data=one.data)
                    again.flow_run_id = UUID(str(flow_run.id))
                    await client.create_artifact(again)
                    published.append(one.key)
    except httpx.HTTPError as error:
        raise Unavailable("Prefect's API did not answer.", detail=str(error)) from error
    return sorted(published)
