"""CronJobs: a Job at each time of the schedule."""

from __future__ import annotations

import copy
import datetime as dt
from zoneinfo import ZoneInfo

from cronsim import CronSim, CronSimError

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    deleting,
    is_true,
    owned_by,
    owner_reference,
    parse_stamp,
    stamp,
)
from deployments.sandbox.controllers.kube.resources import CRONJOBS, JOBS, Key, Obj
from deployments.sandbox.controllers.workloads.jobs import finished
from deployments.sandbox.controllers.workloads.pods import parent_key


class CronJobs:
    """The CronJob controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._crons = cluster.informer(CRONJOBS)
        self._jobs = cluster.informer(JOBS)
        cluster.add(
            Controller("cronjobs", self._crons, self.reconcile).on(self._jobs, lambda job: parent_key(job, "CronJob"))
        )

    async def reconcile(self, key: Key) -> float | None:
        """Start what is due and say when to look again."""
        cron = self._crons.get(*key)
        if cron is None or deleting(cron):
            return None
        now = dt.datetime.now(dt.UTC)
        jobs = [job for job in self._jobs.all(key[0]) if owned_by(job, cron["metadata"]["uid"])]
        await self._forget(cron, jobs)
        running = [job for job in jobs if not finished(job)]
        status: Obj = {"active": [_reference(job) for job in running] or None}
        try:
            due = last_due(cron, now)
            following = next_due(cron, now)
        except CronSimError as error:
            await self._cluster.event(CRONJOBS, cron, "UnparseableSchedule", str(error), warning=True)
            return None
        if due is not None and not cron["spec"].get("suspend") and await self._allowed(cron, running):
            job = await self._cluster.create(JOBS, job_for(cron, due))
            status["lastScheduleTime"] = stamp(due)
            status["active"] = [*(status["active"] or []), *([_reference(job)] if job else [])] or None
        await self._cluster.patch_status(CRONJOBS, cron, status)
        return max(0.5, (following - dt.datetime.now(dt.UTC)).total_seconds())

    async def _allowed(self, cron: Obj, running: list[Obj]) -> bool:
        policy = cron["spec"].get("concurrencyPolicy", "Allow")
        if policy == "Replace":
            for job in running:
                await self._cluster.delete(JOBS, job)
        return policy != "Forbid" or not running

    async def _forget(self, cron: Obj, jobs: list[Obj]) -> None:
        for kind, limit in (("Complete", "successfulJobsHistoryLimit"), ("Failed", "failedJobsHistoryLimit")):
            keep = cron["spec"].get(limit, 3 if kind == "Complete" else 1)
            ended = [job for job in jobs if is_true(job, kind)]
            ended.sort(key=lambda job: job["metadata"]["creationTimestamp"], reverse=True)
            for job in ended[keep:]:
                await self._cluster.delete(JOBS, job)


def _zone(cron: Obj) -> dt.tzinfo:
    return ZoneInfo(cron["spec"]["timeZone"]) if cron["spec"].get("timeZone") else dt.UTC


def last_due(cron: Obj, now: dt.datetime) -> dt.datetime | None:
    """The latest time at or before `now` for which no Job was started yet, or None."""
    since = (cron.get("status") or {}).get("lastScheduleTime") or cron["metadata"]["creationTimestamp"]
    times = CronSim(cron["spec"]["schedule"], now.astimezone(_zone(cron)) + dt.timedelta(seconds=1), reverse=True)
    latest = next(times).astimezone(dt.UTC)
    return latest if latest > parse_stamp(since) else None


def next_due(cron: Obj, now: dt.datetime) -> dt.datetime:
    """The next time of the schedule after `now`."""
    return next(CronSim(cron["spec"]["schedule"], now.astimezone(_zone(cron)))).astimezone(dt.UTC)


def job_for(cron: Obj, due: dt.datetime) -> Obj:
    """The Job of one time; its name makes a second one for the same time impossible."""
    template = cron["spec"]["jobTemplate"]
    metadata = template.get("metadata") or {}
    return {
        "metadata": {
            "name": f"{cron['metadata']['name']}-{int(due.timestamp()) // 60}",
            "namespace": cron["metadata"]["namespace"],
            "labels": dict(metadata.get("labels") or {}),
            "annotations": {
                **(metadata.get("annotations") or {}),
                "batch.kubernetes.io/cronjob-scheduled-timestamp": stamp(due),
            },
            "ownerReferences": [owner_reference(cron, CRONJOBS)],
        },
        "spec": copy.deepcopy(template["spec"]),
    }


def _reference(job: Obj) -> Obj:
    metadata = job["metadata"]
    return {
        "apiVersion": "batch/v1",
        "kind": "Job",
        "namespace": metadata["namespace"],
        "name": metadata["name"],
        "uid": metadata["uid"],
    }
