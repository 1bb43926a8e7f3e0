"""Jobs that are Helm hooks: kwok completes their pods, and here is done what their programs would have done."""

from __future__ import annotations

import secrets

from deployments.sandbox.controllers.features import arguments
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import annotated, deleting, key_of
from deployments.sandbox.controllers.kube.resources import JOBS, SECRETS, Key

HOOK = "helm.sh/hook"
REDIS_PASSWORD = ["admin", "redis-initial-password"]
"""What argo-cd's hook tells its program to do."""


class Hooks:
    """Does the work of the hooks that we know."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._jobs = cluster.informer(JOBS)
        cluster.add(Controller("hooks", self._jobs, self.reconcile))

    async def reconcile(self, key: Key) -> None:
        """Make what a hook is there to make, unless it is there."""
        job = self._jobs.get(*key)
        if job is None or deleting(job) or HOOK not in annotated(job):
            return
        if arguments(job)[-2:] == REDIS_PASSWORD:
            namespace, _ = key_of(job)
            data = {"auth": secrets.token_urlsafe(16)}
            body = {"metadata": {"name": "argocd-redis", "namespace": namespace}, "type": "Opaque", "stringData": data}
            await self._cluster.create(SECRETS, body)
