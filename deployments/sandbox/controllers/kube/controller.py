"""A controller: keys in a work queue, one reconcile function, retries with growing pauses."""

from __future__ import annotations

import asyncio
import logging
from collections import deque
from collections.abc import Awaitable, Callable, Iterable

import aiohttp

from deployments.sandbox.controllers.kube.client import ApiError
from deployments.sandbox.controllers.kube.informer import Informer
from deployments.sandbox.controllers.kube.objects import key_of
from deployments.sandbox.controllers.kube.resources import Key, Obj

Reconcile = Callable[[Key], Awaitable[float | None]]
"""Makes one object right; returns the seconds after which to look again, or None."""

Mapper = Callable[[Obj], Iterable[Key]]
"""The keys that an event on another object concerns."""

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 30.0
RESYNC = 300.0
"""Seconds after which everything is looked at again, whatever the events said."""

log = logging.getLogger(__name__)


class WorkQueue:
    """Keys waiting for a worker: each once, never in two hands, with pauses where asked for."""

    def __init__(self) -> None:
        self._ready: deque[Key] = deque()
        self._waiting: set[Key] = set()
        self._held: set[Key] = set()
        self._again: set[Key] = set()
        self._timers: dict[Key, asyncio.TimerHandle] = {}
        self._some = asyncio.Event()

    def add(self, key: Key) -> None:
        """Put a key in line."""
        if key in self._held:
            self._again.add(key)
        elif key not in self._waiting:
            self._waiting.add(key)
            self._ready.append(key)
            self._some.set()

    def add_after(self, key: Key, seconds: float) -> None:
        """Put a key in line later; the earliest of several times counts."""
        loop = asyncio.get_running_loop()
        timer = self._timers.get(key)
        if timer is not None:
            if timer.when() <= loop.time() + seconds:
                return
            timer.cancel()
        self._timers[key] = loop.call_later(seconds, self._due, key)

    def _due(self, key: Key) -> None:
        self._timers.pop(key, None)
        self.add(key)

    async def take(self) -> Key:
        """The next key; `done` gives it back."""
        while not self._ready:
            self._some.clear()
            await self._some.wait()
        key = self._ready.popleft()
        self._waiting.discard(key)
        self._held.add(key)
        return key

    def done(self, key: Key) -> None:
        """A worker has finished with a key."""
        self._held.discard(key)
        if key in self._again:
            self._again.discard(key)
            self.add(key)


class Controller:
    """Keeps the objects of one kind right.

    Args:
        name: for the log.
        informer: the kind whose keys are reconciled.
        reconcile: makes one of them right.
        workers: how many at a time.
    """

    def __init__(self, name: str, informer: Informer, reconcile: Reconcile, *, workers: int = 4) -> None:
        self.name, self._informer, self._reconcile, self._workers = name, informer, reconcile, workers
        self.queue = WorkQueue()
        self._needed = [informer]
        self._failures: dict[Key, int] = {}
        informer.subscribe(self._changed)

    def on(self, informer: Informer, mapper: Mapper) -> Controller:
        """Also look when an object of another kind changes, at the keys `mapper` names."""
        self._needed.append(informer)

        def changed(old: Obj | None, new: Obj | None) -> None:
            keys = {key for obj in (old, new) if obj is not None for key in mapper(obj)}
            for key in keys:
                self.queue.add(key)

        informer.subscribe(changed)
        return self

    def reading(self, *informers: Informer) -> Controller:
        """Do not begin before these caches are complete, too."""
        self._needed.extend(informers)
        return self

    def enqueue_all(self) -> None:
        """Look at everything."""
        for key in self._informer.keys():  # noqa: SIM118 - an informer is no dict
            self.queue.add(key)

    async def run(self) -> None:
        """Work until cancelled."""
        for informer in self._needed:
            await informer.synced.wait()
        async with asyncio.TaskGroup() as group:
            for _ in range(self._workers):
                group.create_task(self._work())
            group.create_task(self._resync())

    def _changed(self, old: Obj | None, new: Obj | None) -> None:
        obj = new or old
        if obj is not None:
            self.queue.add(key_of(obj))

    async def _resync(self) -> None:
        while True:
            await asyncio.sleep(RESYNC)
            self.enqueue_all()

    async def _work(self) -> None:
        while True:
            key = await self.queue.take()
            try:
                again = await self._reconcile(key)
            except (ApiError, aiohttp.ClientError, OSError) as error:
                self._retry(key, error)
            except Exception as error:  # a defect in one object's handling must not stop the others
                log.exception("%s %s", self.name, "/".join(key))
                self._retry(key, error)
            else:
                self._failures.pop(key, None)
                if again is not None:
                    self.queue.add_after(key, again)
            finally:
                self.queue.done(key)

    def _retry(self, key: Key, error: Exception) -> None:
        failures = self._failures[key] = self._failures.get(key, 0) + 1
        # Somebody else was first, or it is gone: the usual course of things.
        level = logging.DEBUG if isinstance(error, ApiError) and error.status in {404, 409} else logging.WARNING
        log.log(level, "%s %s: %s", self.name, "/".join(key), error or repr(error))
        self.queue.add_after(key, min(FIRST_PAUSE * 2 ** min(failures - 1, 16), LONGEST_PAUSE))
