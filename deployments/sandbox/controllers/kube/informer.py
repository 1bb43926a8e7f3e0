"""A cache of one kind, kept by list and watch, that also knows what we wrote ourselves."""

from __future__ import annotations

import asyncio
import logging
from collections import OrderedDict
from collections.abc import Callable, Iterator

import aiohttp

from deployments.sandbox.controllers.kube.client import ApiError, Client
from deployments.sandbox.controllers.kube.objects import deleting, key_of, now
from deployments.sandbox.controllers.kube.resources import Key, Obj, Resource

Listener = Callable[[Obj | None, Obj | None], None]
"""Called with the object before and after; None for absent."""

GRAVES = 4096
"""Deleted objects remembered by uid, so that a late answer to our own write does not bring one back."""

BACKOFF = (0.1, 1.0)
ABSENT_PAUSE = 30.0
"""Seconds until a kind that does not exist is asked for again, unless its CRD is established earlier."""

log = logging.getLogger(__name__)


class Informer:
    """The objects of one kind.

    Args:
        client: of the API server.
        resource: the kind.
    """

    def __init__(self, client: Client, resource: Resource) -> None:
        self.resource = resource
        self.synced = asyncio.Event()
        """Set once the cache is complete, and for a kind that does not exist."""
        self.established = asyncio.Event()
        """Set by whoever sees the CRD established, to look again at once."""
        self._client = client
        self._version: str | None = None
        self._objects: dict[str, dict[str, Obj]] = {}
        self._graves: OrderedDict[str, None] = OrderedDict()
        self._listeners: list[Listener] = []

    def subscribe(self, listener: Listener) -> None:
        """Call `listener` at each change from now on, and for what is there already."""
        self._listeners.append(listener)
        for obj in self.all():
            listener(None, obj)

    def get(self, namespace: str, name: str) -> Obj | None:
        """The object, or None. Not to be changed in place."""
        return self._objects.get(namespace, {}).get(name)

    def all(self, namespace: str | None = None) -> list[Obj]:
        """The objects, of one namespace or of all."""
        if namespace is not None:
            return list(self._objects.get(namespace, {}).values())
        return [obj for objects in self._objects.values() for obj in objects.values()]

    def keys(self) -> Iterator[Key]:
        """Namespace and name of each object."""
        for namespace, objects in self._objects.items():
            for name in objects:
                yield namespace, name

    def note(self, obj: Obj) -> None:
        """Take in the answer to a write of ours, so that the next look does not miss it."""
        if obj.get("kind") == self.resource.kind and obj["metadata"].get("uid") not in self._graves:
            self._take(obj)

    def note_deleting(self, obj: Obj) -> None:
        """Count an object we deleted as going until the watch says more."""
        known = self.get(*key_of(obj))
        if known is not None and known["metadata"]["uid"] == obj["metadata"]["uid"] and not deleting(known):
            metadata = {**known["metadata"], "deletionTimestamp": now()}
            namespace, name = key_of(obj)
            self._objects[namespace][name] = {**known, "metadata": metadata}

    async def run(self) -> None:
        """List and watch until cancelled, whatever the server does meanwhile."""
        pause = BACKOFF[0]
        while True:
            try:
                if self._version is None:
                    self._version = await self._list()
                await self._watch(self._version)
                pause = BACKOFF[0]
                continue
            except ApiError as error:
                self._version = None
                if error.status == 404:
                    await self._absent()
                    continue
                if error.status == 410:
                    continue
                log.warning("%s: %s", self.resource.plural, error)
            except (aiohttp.ClientError, TimeoutError, OSError) as error:
                # What breaks is taken up where it stopped; only a refusal costs a new list.
                log.debug("%s: %r", self.resource.plural, error)
            await asyncio.sleep(pause)
            pause = min(pause * 2, BACKOFF[1])

    async def _list(self) -> str:
        answer = await self._client.list_all(self.resource)
        items = answer.get("items") or []
        for item in items:
            item.setdefault("apiVersion", self.resource.api_version)
            item.setdefault("kind", self.resource.kind)
        here = {key_of(item) for item in items}
        for namespace, name in [key for key in self.keys() if key not in here]:
            self._remove(self._objects[namespace][name])
        for item in items:
            self._take(item, relisted=True)
        self.synced.set()
        return str(answer["metadata"].get("resourceVersion", "0"))

    async def _watch(self, version: str) -> None:
        async for event in self._client.watch(self.resource, version):
            obj = event["object"]
            if event["type"] == "ERROR":
                raise ApiError(obj.get("code", 500), obj.get("reason", ""), obj.get("message", ""))
            self._version = obj["metadata"]["resourceVersion"]
            if event["type"] == "DELETED":
                self._remove(obj)
            elif event["type"] in {"ADDED", "MODIFIED"}:
                self._take(obj)

    async def _absent(self) -> None:
        for obj in self.all():
            self._remove(obj)
        self.synced.set()
        self.established.clear()
        try:
            async with asyncio.timeout(ABSENT_PAUSE):
                await self.established.wait()
        except TimeoutError:
            log.debug("%s does not exist yet", self.resource.plural)

    def _take(self, obj: Obj, *, relisted: bool = False) -> None:
        namespace, name = key_of(obj)
        old = self.get(namespace, name)
        if old is not None and old["metadata"]["uid"] == obj["metadata"]["uid"]:
            older = _number(obj) < _number(old) and not relisted
            same = obj["metadata"]["resourceVersion"] == old["metadata"]["resourceVersion"]
            if older or same:
                return
        # Half of an object's bytes, and no controller reads them.
        obj["metadata"].pop("managedFields", None)
        self._objects.setdefault(namespace, {})[name] = obj
        self._tell(old, obj)

    def _remove(self, obj: Obj) -> None:
        namespace, name = key_of(obj)
        self._graves[obj["metadata"]["uid"]] = None
        if len(self._graves) > GRAVES:
            self._graves.popitem(last=False)
        old = self.get(namespace, name)
        if old is None or old["metadata"]["uid"] != obj["metadata"]["uid"]:
            return
        del self._objects[namespace][name]
        if not self._objects[namespace]:
            del self._objects[namespace]
        self._tell(old, None)

    def _tell(self, old: Obj | None, new: Obj | None) -> None:
        for listener in self._listeners:
            listener(old, new)


def _number(obj: Obj) -> int:
    """The resourceVersion as the counter that it is in etcd."""
    return int(obj["metadata"]["resourceVersion"])
