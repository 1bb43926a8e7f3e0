"""EphemeralRunnerSets and EphemeralRunners: as many idle runners as asked, a pod each."""

from __future__ import annotations

from deployments.sandbox.controllers.features import Feature
from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import child_metadata, deleting, labels, owned_by, parent_key, phase
from deployments.sandbox.controllers.kube.resources import EPHEMERALRUNNERS, EPHEMERALSETS, PODS, Key


class Runners:
    """Plays ARC's controllers for EphemeralRunnerSets and EphemeralRunners."""

    def __init__(self, cluster: Cluster, feature: Feature) -> None:
        self._cluster = cluster
        self._sets = cluster.informer(EPHEMERALSETS)
        self._runners = cluster.informer(EPHEMERALRUNNERS)
        self._pods = cluster.informer(PODS)
        sets = Controller("ephemeralrunnersets", self._sets, feature.gate(self.reconcile_set)).on(
            self._runners, lambda each: parent_key(each, "EphemeralRunnerSet")
        )
        runners = Controller("ephemeralrunners", self._runners, feature.gate(self.reconcile_runner)).on(
            self._pods, lambda pod: parent_key(pod, "EphemeralRunner")
        )
        for queue in (sets, runners):
            feature.subscribe(queue.enqueue_all)
            cluster.add(queue)

    async def reconcile_set(self, key: Key) -> None:
        """As many runners as asked."""
        parent = self._sets.get(*key)
        if parent is None:
            return
        uid = parent["metadata"]["uid"]
        mine = [each for each in self._runners.all(key[0]) if owned_by(each, uid) and not deleting(each)]
        if deleting(parent):
            for each in mine:
                await self._cluster.delete(EPHEMERALRUNNERS, each)
            return
        wanted = int(parent["spec"].get("replicas") or 0)
        for _ in range(wanted - len(mine)):
            body = {
                "metadata": child_metadata(parent, EPHEMERALSETS, labels(parent), generateName=f"{key[1]}-runner-"),
                "spec": parent["spec"]["ephemeralRunnerSpec"],
            }
            made = await self._cluster.create(EPHEMERALRUNNERS, body)
            mine += [made] if made else []
        for each in mine[wanted:]:
            await self._cluster.delete(EPHEMERALRUNNERS, each)
        phases = [(each.get("status") or {}).get("phase", "Pending") for each in mine[:wanted]]
        status = {
            "currentReplicas": len(phases),
            "pendingEphemeralRunners": phases.count("Pending"),
            "runningEphemeralRunners": phases.count("Running"),
            "failedEphemeralRunners": phases.count("Failed"),
        }
        await self._cluster.patch_status(EPHEMERALSETS, parent, status)

    async def reconcile_runner(self, key: Key) -> None:
        """The pod of one runner, and its phase."""
        runner = self._runners.get(*key)
        if runner is None or deleting(runner):
            return
        pod = self._pods.get(*key)
        if pod is None:
            own = labels(runner) | {"actions-ephemeral-runner": "True"}
            metadata = child_metadata(runner, EPHEMERALRUNNERS, own, name=key[1])
            spec = {"restartPolicy": "Never", **(runner["spec"].get("spec") or {})}
            await self._cluster.create(PODS, {"metadata": metadata, "spec": spec})
            return
        ready = not deleting(pod) and phase(pod) == "Running"
        await self._cluster.patch_status(EPHEMERALRUNNERS, runner, {"phase": phase(pod), "ready": ready})
