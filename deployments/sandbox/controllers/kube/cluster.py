"""One cluster as its controllers share it: a client, the informers, events."""

from __future__ import annotations

import asyncio
import logging

from deployments.sandbox.controllers.kube.client import ApiError, Client
from deployments.sandbox.controllers.kube.controller import Controller
from deployments.sandbox.controllers.kube.informer import Informer
from deployments.sandbox.controllers.kube.objects import contains, is_true, key_of, now, short_hash
from deployments.sandbox.controllers.kube.resources import CRDS, EVENTS, Obj, Resource

log = logging.getLogger(__name__)


class Cluster:
    """The client and the caches of one cluster.

    Args:
        client: of its API server.
        name: what the cluster is called in the cloud, by load balancers and volumes: its UUID, as Magnum has it.
    """

    def __init__(self, client: Client, *, name: str) -> None:
        self.client, self.name = client, name
        self._informers: dict[Resource, Informer] = {}
        self.controllers: list[Controller] = []
        self.informer(CRDS).subscribe(self._crd_changed)

    def informer(self, resource: Resource) -> Informer:
        """The one informer of a kind."""
        if resource not in self._informers:
            self._informers[resource] = Informer(self.client, resource)
        return self._informers[resource]

    def add(self, controller: Controller) -> Controller:
        """Have a controller run with the cluster."""
        self.controllers.append(controller)
        return controller

    async def run(self) -> None:
        """Run all informers and controllers until cancelled."""
        async with asyncio.TaskGroup() as group:
            for informer in self._informers.values():
                group.create_task(informer.run(), name=f"informer {informer.resource.plural}")
            for controller in self.controllers:
                group.create_task(controller.run(), name=f"controller {controller.name}")

    async def create(self, resource: Resource, obj: Obj) -> Obj | None:
        """Create an object and remember it; None where one by that name is there already."""
        try:
            made = await self.client.create(resource, obj)
        except ApiError as error:
            if error.status == 409 and error.reason in {"AlreadyExists", ""}:
                return None
            raise
        self._note(resource, made)
        return made

    async def patch(self, resource: Resource, obj: Obj, change: Obj) -> Obj:
        """Merge-patch an object and remember the outcome."""
        changed = await self.client.patch(resource, *key_of(obj), change)
        self._note(resource, changed)
        return changed

    async def patch_status(self, resource: Resource, obj: Obj, status: Obj) -> Obj:
        """Merge-patch a status where that changes something, and remember the outcome."""
        if contains(obj.get("status") or {}, status):
            return obj
        changed = await self.client.patch(resource, *key_of(obj), {"status": status}, subresource="status")
        self._note(resource, changed)
        return changed

    async def delete(self, resource: Resource, obj: Obj) -> None:
        """Delete exactly this object and remember that it is going."""
        await self.client.delete(resource, *key_of(obj), uid=obj["metadata"]["uid"])
        informer = self._informers.get(resource)
        if informer is not None:
            informer.note_deleting(obj)

    async def set_finalizer(self, resource: Resource, obj: Obj, finalizer: str, *, present: bool) -> Obj:
        """Add or remove a finalizer, minding whoever else changes the list."""
        finalizers = list(obj["metadata"].get("finalizers") or [])
        if (finalizer in finalizers) == present:
            return obj
        finalizers = [*finalizers, finalizer] if present else [each for each in finalizers if each != finalizer]
        metadata = {"finalizers": finalizers or None, "resourceVersion": obj["metadata"]["resourceVersion"]}
        changed = await self.client.patch(resource, *key_of(obj), {"metadata": metadata})
        if changed.get("metadata", {}).get("deletionTimestamp") is None or finalizers:
            self._note(resource, changed)
        return changed

    async def event(self, resource: Resource, obj: Obj, reason: str, message: str, *, warning: bool = False) -> None:
        """Record an Event; the same one again raises its count."""
        namespace, name = key_of(obj)
        where = namespace or "default"
        event_name = f"{name}.{short_hash(resource.kind, obj['metadata']['uid'], reason, message, length=16)}"
        moment = now()
        involved = {
            "apiVersion": resource.api_version,
            "kind": resource.kind,
            "name": name,
            "uid": obj["metadata"]["uid"],
        } | ({"namespace": namespace} if namespace else {})
        body: Obj = {
            "metadata": {"name": event_name, "namespace": where},
            "involvedObject": involved,
            "reason": reason,
            "message": message,
            "type": "Warning" if warning else "Normal",
            "source": {"component": "plumbline-sandbox"},
            "firstTimestamp": moment,
            "lastTimestamp": moment,
            "count": 1,
        }
        try:
            await self.client.create(EVENTS, body)
        except ApiError as error:
            if error.status == 409:
                known = await self.client.get(EVENTS, where, event_name) or body
                change = {"count": known.get("count", 1) + 1, "lastTimestamp": moment}
                await self.client.patch(EVENTS, where, event_name, change)
            elif error.status not in {403, 404}:  # the namespace is going, or gone
                raise

    def _note(self, resource: Resource, obj: Obj) -> None:
        informer = self._informers.get(resource)
        if informer is not None:
            informer.note(obj)

    def _crd_changed(self, old: Obj | None, new: Obj | None) -> None:
        if new is None or not is_true(new, "Established"):
            return
        for resource, informer in self._informers.items():
            if resource.custom and resource.crd == new["metadata"]["name"]:
                informer.established.set()
