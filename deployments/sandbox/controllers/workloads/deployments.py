"""Deployments: one ReplicaSet per template, rolled out by `rollout.plan`."""

from __future__ import annotations

import copy
import time

from deployments.sandbox.controllers.kube.cluster import Cluster
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.objects import (
    annotated,
    deleting,
    owned_by,
    owner_reference,
    set_condition,
)
from deployments.sandbox.controllers.kube.resources import DEPLOYMENTS, REPLICASETS, Key, Obj
from deployments.sandbox.controllers.workloads import rollout
from deployments.sandbox.controllers.workloads.pods import parent_key


class Deployments:
    """The Deployment controller."""

    def __init__(self, cluster: Cluster) -> None:
        self._cluster = cluster
        self._deployments = cluster.informer(DEPLOYMENTS)
        self._sets = cluster.informer(REPLICASETS)
        cluster.add(
            Controller("deployments", self._deployments, self.reconcile).on(
                self._sets, lambda each: parent_key(each, "Deployment")
            )
        )

    async def reconcile(self, key: Key) -> float | None:
        """Take one Deployment a step further."""
        deployment = self._deployments.get(*key)
        if deployment is None or deleting(deployment):
            return None
        uid = deployment["metadata"]["uid"]
        sets = [each for each in self._sets.all(key[0]) if owned_by(each, uid) and not deleting(each)]
        new = rollout.newest(deployment, sets)
        if new is None and not deployment["spec"].get("paused"):
            new = await self._create(deployment, sets)
        olds = [each for each in sets if new is None or each["metadata"]["uid"] != new["metadata"]["uid"]]
        if new is not None:
            new = await self._number(deployment, new, olds)
            new, olds = await self._scale(deployment, new, olds)
        status = rollout.deployment_status(deployment, new, olds)
        deployment = await self._cluster.patch_status(DEPLOYMENTS, deployment, status)
        await self._forget(deployment, olds)
        return await self._deadline(deployment, new) if new is not None else None

    async def _create(self, deployment: Obj, sets: list[Obj]) -> Obj | None:
        template = copy.deepcopy(deployment["spec"]["template"])
        collisions = rollout.status(deployment, "collisionCount")
        word = rollout.template_hash(template, collisions)
        template.setdefault("metadata", {}).setdefault("labels", {})[rollout.HASH_LABEL] = word
        selector = copy.deepcopy(deployment["spec"]["selector"])
        selector.setdefault("matchLabels", {})[rollout.HASH_LABEL] = word
        metadata = deployment["metadata"]
        surge, _ = rollout.bounds(deployment)
        wanted = deployment["spec"].get("replicas", 1)
        running = sum(rollout.asked(each) for each in sets)
        recreate = (deployment["spec"].get("strategy") or {}).get("type") == "Recreate"
        first = 0 if recreate and running else min(wanted, max(0, wanted + surge - running))
        made = await self._cluster.create(
            REPLICASETS,
            {
                "metadata": {
                    "name": f"{metadata['name']}-{word}",
                    "namespace": metadata["namespace"],
                    "labels": template["metadata"]["labels"],
                    "annotations": {rollout.REVISION: str(self._next(sets))},
                    "ownerReferences": [owner_reference(deployment, DEPLOYMENTS)],
                },
                "spec": {
                    "replicas": first,
                    "selector": selector,
                    "template": template,
                    "minReadySeconds": deployment["spec"].get("minReadySeconds", 0),
                },
            },
        )
        if made is None:
            # The name is taken by a set that is not ours or has another template: the next hash is tried.
            known = await self._cluster.client.get(REPLICASETS, metadata["namespace"], f"{metadata['name']}-{word}")
            if known is not None and not (owned_by(known, metadata["uid"]) and rollout.newest(deployment, [known])):
                await self._cluster.patch_status(DEPLOYMENTS, deployment, {"collisionCount": collisions + 1})
        return made

    def _next(self, sets: list[Obj]) -> int:
        return max((rollout.revision(each) for each in sets), default=0) + 1

    async def _number(self, deployment: Obj, new: Obj, olds: list[Obj]) -> Obj:
        latest = self._next(olds)
        if rollout.revision(new) < latest:  # a template that was rolled back to
            change = {"metadata": {"annotations": {rollout.REVISION: str(latest)}}}
            new = await self._cluster.patch(REPLICASETS, new, change)
        if annotated(deployment).get(rollout.REVISION) != str(rollout.revision(new)):
            change = {"metadata": {"annotations": {rollout.REVISION: str(rollout.revision(new))}}}
            await self._cluster.patch(DEPLOYMENTS, deployment, change)
        return new

    async def _scale(self, deployment: Obj, new: Obj, olds: list[Obj]) -> tuple[Obj, list[Obj]]:
        if deployment["spec"].get("paused") and olds:
            return new, olds
        counts = rollout.plan(deployment, new, olds)
        scaled = []
        for each in (new, *olds):
            count = counts.get(each["metadata"]["name"])
            changed = each
            if count is not None:
                changed = await self._cluster.patch(REPLICASETS, each, {"spec": {"replicas": count}})
                word = "up" if count > rollout.asked(each) else "down"
                message = f"Scaled {word} replica set {each['metadata']['name']} to {count}"
                await self._cluster.event(DEPLOYMENTS, deployment, "ScalingReplicaSet", message)
            scaled.append(changed)
        return scaled[0], scaled[1:]

    async def _forget(self, deployment: Obj, olds: list[Obj]) -> None:
        limit = int(deployment["spec"].get("revisionHistoryLimit", 10))
        idle = [each for each in olds if not rollout.asked(each) and not rollout.status(each, "replicas")]
        idle.sort(key=rollout.revision, reverse=True)
        for each in idle[limit:]:
            await self._cluster.delete(REPLICASETS, each)

    async def _deadline(self, deployment: Obj, new: Obj) -> float | None:
        left = rollout.stalled(deployment, new, time.time())
        if left is None or left > 0:
            return left
        message = f'ReplicaSet "{new["metadata"]["name"]}" has timed out progressing.'
        known = deployment["status"]["conditions"]
        conditions = set_condition(known, "Progressing", False, "ProgressDeadlineExceeded", message)
        await self._cluster.patch_status(DEPLOYMENTS, deployment, {"conditions": conditions})
        return None
