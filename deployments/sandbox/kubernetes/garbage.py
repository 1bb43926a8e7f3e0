"""The controllers a control plane cannot do without: garbage collection, namespaces, CRD clean-up, storage protection.

One task works off a queue that the store's changes fill; every step looks at the store again before it acts.
"""

from __future__ import annotations

import asyncio
import logging
from typing import Any

from deployments.sandbox.kubernetes import crds, prepare
from deployments.sandbox.kubernetes.calls import Where
from deployments.sandbox.kubernetes.deletion import FOREGROUND, ORPHAN, Deletion
from deployments.sandbox.kubernetes.errors import StatusError
from deployments.sandbox.kubernetes.objects import Objects
from deployments.sandbox.kubernetes.requestinfo import internal_options
from deployments.sandbox.kubernetes.resources import Resource
from deployments.sandbox.kubernetes.storage import Change, Record

Object = dict[str, Any]
log = logging.getLogger(__name__)
GONE = frozenset({404, 409})
PROTECTION = {
    "persistentvolumeclaims": "kubernetes.io/pvc-protection",
    "persistentvolumes": "kubernetes.io/pv-protection",
}
RETRY = 0.5
"""Seconds before a step that a webhook refused is tried again."""


class Controllers:
    """Runs the controllers until cancelled."""

    def __init__(self, objects: Objects, deletion: Deletion, ca: str) -> None:
        self._objects = objects
        self._storage = objects.storage
        self._registry = objects.registry
        self._deletion = deletion
        self._ca = ca
        self._queue: asyncio.Queue[Change] = asyncio.Queue()
        self._later: set[asyncio.TimerHandle] = set()

    async def run(self) -> None:
        """Work until cancelled, starting with everything that is stored."""
        stop = self._storage.subscribe(self._queue.put_nowait)
        for resource in self._storage.resources():
            for record in self._storage.records(resource):
                if record.finalizing or record.owners or resource == "namespaces":
                    self._queue.put_nowait(Change("MODIFIED", record.version, record, None))
        try:
            while True:
                await self._work(await self._queue.get())
        finally:
            stop()
            for handle in self._later:
                handle.cancel()

    async def _work(self, change: Change) -> None:
        try:
            await self._react(change)
        except StatusError as error:
            if error.code not in GONE:
                log.info("%s %s/%s: %s", change.record.resource, change.record.namespace, change.record.name, error)
                self._again(change)
        except Exception:
            # One object that cannot be handled must not end the garbage collector for all others.
            log.exception("%s %s/%s", change.record.resource, change.record.namespace, change.record.name)

    def _again(self, change: Change) -> None:
        def put() -> None:
            self._later.discard(handle)
            self._queue.put_nowait(change)

        handle = asyncio.get_running_loop().call_later(RETRY, put)
        self._later.add(handle)

    async def _react(self, change: Change) -> None:
        record = change.record
        if change.sort == "DELETED":
            await self._after_delete(record)
            return
        current = self._storage.get(record.resource, record.namespace, record.name)
        if current is None or current.uid != record.uid:
            return
        if current.resource == "namespaces":
            await self._namespace(current)
        if current.finalizing:
            await self._finalize(current)
        elif current.owners and all(self._storage.by_uid(owner) is None for owner in current.owners):
            await self._delete(current, "Background")
        if current.finalizing and current.namespace:
            await self._poke_namespace(current.namespace)

    async def _poke_namespace(self, namespace: str) -> None:
        held = self._storage.get("namespaces", "", namespace)
        if held is not None and held.finalizing:
            await self._namespace(held)

    async def _after_delete(self, record: Record) -> None:
        for dependent in self._storage.dependents(record.uid):
            if all(self._storage.by_uid(owner) is None for owner in dependent.owners):
                await self._delete(dependent, "Background")
        for owner in record.owners:
            held = self._storage.by_uid(owner)
            if held is not None and held.finalizing:
                await self._finalize(held)
        if record.namespace:
            held = self._storage.get("namespaces", "", record.namespace)
            if held is not None and held.finalizing:
                await self._namespace(held)
            elif held is not None and record.name in ("default", "kube-root-ca.crt"):
                await self._furnish(record.namespace)
        if record.resource == "pods":
            for claim in self._storage.records("persistentvolumeclaims", record.namespace):
                if claim.finalizing:
                    await self._finalize(claim)
        await self._definition_of(record)

    async def _definition_of(self, record: Record) -> None:
        definition = self._storage.get(crds.STORAGE, "", record.resource)
        if definition is not None and definition.finalizing:
            await self._finalize(definition)

    async def _delete(self, record: Record, policy: str) -> None:
        resource = self._registry.by_storage(record.resource)
        if resource is None:
            return
        where = Where(resource, record.namespace, record.name)
        wishes = {"propagationPolicy": policy, "preconditions": {"uid": record.uid}}
        try:
            await self._deletion.delete(where, wishes, internal_options("generic-garbage-collector"))
        except StatusError as error:
            if error.code not in GONE:
                raise

    async def _finalize(self, record: Record) -> None:
        """Do what the server's own finalizers on a dying object ask for."""
        finalizers = record.load()["metadata"].get("finalizers") or []
        if ORPHAN in finalizers:
            await self._orphan(record)
            await self._release(record, ORPHAN)
        elif FOREGROUND in finalizers:
            await self._foreground(record)
        if crds.FINALIZER in finalizers and record.resource == crds.STORAGE:
            await self._clean_up(record)
        protection = PROTECTION.get(record.resource)
        if protection in finalizers and not self._in_use(record):
            await self._release(record, str(protection))

    async def _orphan(self, record: Record) -> None:
        for dependent in self._storage.dependents(record.uid):

            def without(old: Object) -> Object:
                owners = [owner for owner in old["metadata"]["ownerReferences"] if owner["uid"] != record.uid]
                old["metadata"]["ownerReferences"] = owners
                return old

            await self._change(dependent, without)

    async def _foreground(self, record: Record) -> None:
        waiting = False
        for dependent in self._storage.dependents(record.uid):
            owners = dependent.load()["metadata"]["ownerReferences"]
            others = [owner for owner in owners if owner["uid"] != record.uid and self._storage.by_uid(owner["uid"])]
            if others:
                continue
            blocking = any(owner["uid"] == record.uid and owner.get("blockOwnerDeletion") for owner in owners)
            waiting = waiting or blocking
            if not dependent.finalizing:
                await self._delete(dependent, "Foreground" if blocking else "Background")
                gone = self._storage.by_uid(dependent.uid) is None
                waiting = waiting and not (gone and blocking)
        remaining = [
            dependent for dependent in self._storage.dependents(record.uid)
            if any(o["uid"] == record.uid and o.get("blockOwnerDeletion")
                   for o in dependent.load()["metadata"]["ownerReferences"])
        ]  # fmt: skip
        if not remaining:
            await self._release(record, FOREGROUND)

    def _in_use(self, record: Record) -> bool:
        if record.resource == "persistentvolumes":
            return bool(record.load()["status"].get("phase") == "Bound")
        for pod in self._storage.records("pods", record.namespace):
            for volume in pod.load()["spec"].get("volumes") or ():
                if (volume.get("persistentVolumeClaim") or {}).get("claimName") == record.name:
                    return True
        return False

    async def _clean_up(self, record: Record) -> None:
        """Delete a dying CRD's instances, then let it go."""
        left = self._storage.records(record.name)
        for instance in list(left):
            if not instance.finalizing:
                await self._delete(instance, "Background")
        if not self._storage.records(record.name):
            await self._release(record, crds.FINALIZER)

    async def _release(self, record: Record, finalizer: str) -> None:
        def without(old: Object) -> Object:
            held = [name for name in old["metadata"].get("finalizers") or () if name != finalizer]
            old["metadata"]["finalizers"] = held
            return old

        await self._change(record, without)

    async def _change(self, record: Record, function: Any, subresource: str = "") -> None:
        resource = self._registry.by_storage(record.resource)
        if resource is None:
            return
        where = Where(resource, record.namespace, record.name, subresource)
        try:
            await self._objects.patch(where, function, internal_options("kube-controller-manager"))
        except StatusError as error:
            if error.code not in GONE:
                raise

    async def _namespace(self, record: Record) -> None:
        """Furnish a living namespace; empty and remove a dying one."""
        if not record.finalizing:
            await self._furnish(record.name)
            return
        for storage in self._storage.resources():
            resource = self._registry.by_storage(storage)
            if resource is None or not resource.namespaced:
                continue
            for held in list(self._storage.records(storage, record.name)):
                await self._empty(resource, held)
        if self._left(record.name):
            await self._report(record)
            return
        current = self._storage.get("namespaces", "", record.name)
        if current is None or current.uid != record.uid:
            return
        item = current.load()
        item["spec"].pop("finalizers", None)
        if item["metadata"].get("finalizers"):
            self._storage.write("namespaces", "", record.name, item)
        else:
            self._storage.delete(current)

    async def _empty(self, resource: Resource, held: Record) -> None:
        if held.finalizing and resource.storage != "pods":
            return
        where = Where(resource, held.namespace, held.name)
        wishes: Object = {"propagationPolicy": "Background", "preconditions": {"uid": held.uid}}
        try:
            await self._deletion.delete(where, wishes, internal_options("namespace-controller"))
        except StatusError as error:
            if error.code not in GONE:
                raise

    def _left(self, namespace: str) -> list[Record]:
        return [
            record
            for storage in self._storage.resources()
            if (resource := self._registry.by_storage(storage)) is not None and resource.namespaced
            for record in self._storage.records(storage, namespace)
        ]

    async def _report(self, record: Record) -> None:
        """Say in the namespace's conditions what it is waiting for."""
        left = self._left(record.name)
        finalizers = sorted({name for held in left for name in held.load()["metadata"].get("finalizers") or ()})
        kinds = sorted(
            {f"{held.resource}. has" if "." not in held.resource else f"{held.resource} has" for held in left}
        )
        texts = [
            ("NamespaceContentRemaining", bool(left), "SomeResourcesRemain", "ContentRemoved",
             "Some resources are remaining: " + ", ".join(f"{kind} resource instances" for kind in kinds)),
            ("NamespaceFinalizersRemaining", bool(finalizers), "SomeFinalizersRemain", "ContentHasNoFinalizers",
             "Some content in the namespace has finalizers remaining: " + ", ".join(finalizers)),
        ]  # fmt: skip

        def told(old: Object) -> Object:
            known = {held["type"]: held for held in old["status"].get("conditions") or ()}
            conditions = []
            for sort, wrong, bad, good, message in texts:
                status = "True" if wrong else "False"
                held = known.get(sort)
                since = held["lastTransitionTime"] if held and held["status"] == status else prepare.now()
                conditions.append({"type": sort, "status": status, "lastTransitionTime": since,
                                   "reason": bad if wrong else good, "message": message if wrong else ""})  # fmt: skip
            old["status"]["conditions"] = conditions
            return old

        current = self._storage.get("namespaces", "", record.name)
        if current is not None:
            await self._change(current, told, "status")

    async def _furnish(self, namespace: str) -> None:
        """The default ServiceAccount and the CA's ConfigMap that every namespace has."""
        wanted: list[tuple[str, str, Object]] = [
            ("serviceaccounts", "default", {}),
            ("configmaps", "kube-root-ca.crt", {"data": {"ca.crt": self._ca}}),
        ]
        for plural, name, content in wanted:
            resource = self._registry.find("", "v1", plural)
            if resource is None or self._storage.get(plural, namespace, name) is not None:
                continue
            body = {"metadata": {"name": name, "namespace": namespace}, **content}
            try:
                await self._objects.create(
                    Where(resource, namespace, name), body, internal_options("kube-controller-manager")
                )
            except StatusError as error:
                if error.code not in (403, *GONE):
                    raise
