"""Jobs: pods that run until enough of them have succeeded."""

from __future__ import annotations

import datetime as dt

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import deleting, is_true, now, parse_stamp, set_condition
from deployments.sandbox.controllers.kube.resources import JOBS, PODS, Key, Obj
from deployments.sandbox.controllers.workloads.pods import (
    active,
    from_template,
    owned,
    parent_key,
    phase,
    random_suffix,
    ready,
)


class Jobs:
    """The Job controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._jobs = cluster.informer(JOBS)
        self._pods = cluster.informer(PODS)
        cluster.add(Controller("jobs", self._jobs, self.reconcile).on(self._pods, lambda pod: parent_key(pod, "Job")))

    async def reconcile(self, key: Key) -> float | None:
        """Take one Job a step further."""
        job = self._jobs.get(*key)
        if job is None or deleting(job):
            return None
        pods = owned(self._pods, job)
        if finished(job):
            for pod in active(pods):
                await self._cluster.delete(PODS, pod)
            return await self._expire(job)
        status = job_status(job, pods)
        ended = any(each["type"] in {"Complete", "Failed"} for each in status.get("conditions") or [])
        if not ended and not job["spec"].get("suspend"):
            for _ in range(missing(job, pods)):
                name = f"{key[1][:57]}-{random_suffix()}"
                found = {"job-name": key[1], "batch.kubernetes.io/job-name": key[1]}
                pod = from_template(job["spec"]["template"], job, JOBS, name=name, labels=found)
                await self._cluster.create(PODS, pod)
            status = job_status(job, owned(self._pods, job))
        await self._cluster.patch_status(JOBS, job, status)
        return None

    async def _expire(self, job: Obj) -> float | None:
        seconds = job["spec"].get("ttlSecondsAfterFinished")
        if seconds is None:
            return None
        known = (job["status"].get("conditions") or [{}])[-1]
        end = parse_stamp(job["status"].get("completionTime") or known["lastTransitionTime"])
        left = (end + dt.timedelta(seconds=seconds) - dt.datetime.now(dt.UTC)).total_seconds()
        if left > 0:
            return left
        await self._cluster.delete(JOBS, job)
        return None


def finished(job: Obj) -> bool:
    """Whether the Job has come to its end."""
    return is_true(job, "Complete") or is_true(job, "Failed")


def missing(job: Obj, pods: list[Obj]) -> int:
    """How many pods to start."""
    running = len(active(pods))
    done = sum(1 for pod in pods if phase(pod) == "Succeeded")
    parallel = job["spec"].get("parallelism", 1)
    completions = job["spec"].get("completions")
    if completions is None:  # a work queue: once one has succeeded, no more are started
        return 0 if done else max(0, parallel - running)
    return int(max(0, min(parallel, completions - done) - running))


def job_status(job: Obj, pods: list[Obj]) -> Obj:
    """The Job's status for the pods there are."""
    succeeded = sum(1 for pod in pods if phase(pod) == "Succeeded")
    failed = sum(1 for pod in pods if phase(pod) == "Failed")
    running = active(pods)
    known = job.get("status") or {}
    status: Obj = {
        "startTime": known.get("startTime") or now(),
        "active": len(running) or None,
        "ready": ready(running),
        "succeeded": succeeded or None,
        "failed": failed or None,
    }
    needed = job["spec"].get("completions")
    if failed > job["spec"].get("backoffLimit", 6):
        message = "Job has reached the specified backoff limit"
        status["conditions"] = set_condition(
            known.get("conditions"), "Failed", True, "BackoffLimitExceeded", message, lastProbeTime=now()
        )
    elif succeeded >= (needed if needed is not None else 1) and (needed is not None or not running):
        status["completionTime"] = now()
        message = "Reached expected number of succeeded pods"
        conditions = set_condition(known.get("conditions"), "SuccessCriteriaMet", True, "CompletionsReached", message)
        status["conditions"] = set_condition(conditions, "Complete", True, "CompletionsReached", message)
    return status
