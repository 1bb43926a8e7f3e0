"""The little controller library: caches, queues, selectors, conditions."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from deployments.sandbox.controllers.kube.client import ApiError
from deployments.sandbox.controllers.kube.controller import Controller, WorkQueue
from deployments.sandbox.controllers.kube.informer import Informer
from deployments.sandbox.controllers.kube.objects import (
    available,
    contains,
    quantity,
    short_hash,
)
from deployments.sandbox.controllers.kube.resources import CLUSTERISSUERS, PODS, SERVICES, Key, Obj


def pod(name: str, version: int, uid: str = "u", **more: Any) -> Obj:
    metadata = {"name": name, "namespace": "n", "uid": uid, "resourceVersion": str(version), "managedFields": [1]}
    return {"kind": "Pod", "metadata": metadata, **more}


class Server:
    """Answers list and watch from a script."""

    def __init__(self, lists: list[Any], watches: list[list[Any]]) -> None:
        self.lists, self.watches = lists, watches
        self.asked: list[str] = []

    async def list_all(self, _: object, **__: str) -> Obj:
        self.asked.append("list")
        answer = self.lists.pop(0)
        if isinstance(answer, Exception):
            raise answer
        found: Obj = answer
        return found

    async def watch(self, _: object, version: str) -> AsyncIterator[Obj]:
        self.asked.append(f"watch {version}")
        for event in self.watches.pop(0) if self.watches else [None]:
            if event is None:
                await asyncio.sleep(3600)
                continue
            if isinstance(event, Exception):
                raise event
            yield event


def listing(version: int, *items: Obj) -> Obj:
    return {"metadata": {"resourceVersion": str(version)}, "items": list(items)}


async def follow(server: Server, until: str) -> Informer:
    informer = Informer(server, PODS)  # type: ignore[arg-type]
    task = asyncio.create_task(informer.run())
    async with asyncio.timeout(2):
        while until not in server.asked:  # noqa: ASYNC110 - the code under test announces nothing
            await asyncio.sleep(0.001)
    await asyncio.sleep(0)
    task.cancel()
    return informer


async def test_a_cache_follows_events_and_goes_on_where_the_stream_ended() -> None:
    events = [
        {"type": "ADDED", "object": pod("b", 6, "b")},
        {"type": "DELETED", "object": pod("a", 7, "a")},
        {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "9"}}},
    ]
    server = Server([listing(5, pod("a", 3, "a"))], [events])
    informer = await follow(server, "watch 9")
    assert server.asked == ["list", "watch 5", "watch 9"]
    assert list(informer.keys()) == [("n", "b")]
    known = informer.get("n", "b")
    assert known is not None
    assert "managedFields" not in known["metadata"]


async def test_a_version_too_old_costs_a_new_list_that_forgets_what_is_gone() -> None:
    gone = {"type": "ERROR", "object": {"code": 410, "reason": "Expired", "message": "too old"}}
    server = Server([listing(5, pod("a", 3, "a")), listing(20, pod("b", 18, "b"))], [[gone]])
    informer = await follow(server, "watch 20")
    assert [key for key in informer.keys()] == [("n", "b")]  # noqa: C416, SIM118


async def test_a_broken_connection_keeps_the_version() -> None:
    server = Server([listing(5)], [[ConnectionResetError("gone")]])
    informer = await follow(server, "watch 5")
    assert informer.synced.is_set()
    server = Server([listing(5)], [[ConnectionResetError("gone")], [None]])
    await follow(server, "watch 5")
    assert server.asked.count("list") == 1


async def test_a_kind_that_does_not_exist_counts_as_synced_until_it_is_established() -> None:
    server = Server([ApiError(404, "NotFound", ""), listing(2, pod("a", 1))], [])
    informer = Informer(server, PODS)  # type: ignore[arg-type]
    task = asyncio.create_task(informer.run())
    await asyncio.wait_for(informer.synced.wait(), 2)
    assert server.asked == ["list"]
    informer.established.set()
    async with asyncio.timeout(2):
        while not informer.all():  # noqa: ASYNC110 - as above
            await asyncio.sleep(0.001)
    task.cancel()


def test_our_own_writes_count_at_once_and_old_events_do_not() -> None:
    informer = Informer(None, PODS)  # type: ignore[arg-type]
    seen: list[tuple[Any, Any]] = []
    informer.subscribe(lambda old, new: seen.append((old, new)))
    informer.note(pod("a", 5, phase="new"))
    informer.note(pod("a", 4, phase="old"))
    known = informer.get("n", "a")
    assert known is not None
    assert known["phase"] == "new"
    assert len(seen) == 1
    informer.note_deleting(known)
    going = informer.get("n", "a")
    assert going is not None
    assert going["metadata"]["deletionTimestamp"]
    informer._remove(pod("a", 6))
    informer.note(pod("a", 5))
    assert informer.get("n", "a") is None


async def test_a_key_is_queued_once_and_never_in_two_hands() -> None:
    queue, key = WorkQueue(), ("n", "a")
    queue.add(key)
    queue.add(key)
    assert await queue.take() == key
    queue.add(key)
    with pytest.raises(TimeoutError):
        await asyncio.wait_for(queue.take(), 0.01)
    queue.done(key)
    assert await asyncio.wait_for(queue.take(), 1) == key


async def test_the_earliest_of_several_times_counts() -> None:
    queue, key = WorkQueue(), ("n", "a")
    queue.add_after(key, 60)
    queue.add_after(key, 0.001)
    queue.add_after(key, 30)
    assert await asyncio.wait_for(queue.take(), 1) == key


async def test_a_failing_object_is_tried_again_and_does_not_stop_the_others() -> None:
    informer = Informer(None, PODS)  # type: ignore[arg-type]
    informer.synced.set()
    calls: list[str] = []
    done = asyncio.Event()

    async def reconcile(key: Key) -> None:
        calls.append(key[1])
        if calls.count("bad") == 1 and key[1] == "bad":
            raise ValueError("defect")
        if calls.count("bad") == 2 and "good" in calls:
            done.set()

    controller = Controller("test", informer, reconcile, workers=1)
    task = asyncio.create_task(controller.run())
    informer.note(pod("bad", 1, "x"))
    informer.note(pod("good", 2, "y"))
    await asyncio.wait_for(done.wait(), 2)
    task.cancel()
    assert calls == ["bad", "good", "bad"]


def test_a_patch_that_changes_nothing_is_seen() -> None:
    found = {"a": [{"type": "x", "lastProbeTime": None}], "b": {"c": 1, "d": 2}}
    assert contains(found, {"a": [{"type": "x"}], "b": {"c": 1}, "absent": None})
    assert not contains(found, {"b": {"c": None}})
    assert not contains(found, {"a": []})
    assert not contains(found, {"a": {"type": "x"}})


def test_quantities_hashes_and_paths() -> None:
    assert quantity("1Gi") == 1024 * quantity("1Mi")
    assert quantity("500m") * 2 == quantity("1")
    with pytest.raises(ValueError, match="no quantity"):
        quantity("much")
    assert short_hash({"a": 1, "b": 2}) == short_hash({"b": 2, "a": 1}) != short_hash({"a": 2})
    assert PODS.path("n", "p", "binding") == "/api/v1/namespaces/n/pods/p/binding"
    assert CLUSTERISSUERS.path("", "x") == "/apis/cert-manager.io/v1/clusterissuers/x"
    assert (CLUSTERISSUERS.crd, SERVICES.api_version) == ("clusterissuers.cert-manager.io", "v1")


@pytest.mark.parametrize(
    ("workload", "expected"),
    [
        (
            {"metadata": {"generation": 2}, "spec": {}, "status": {"observedGeneration": 1, "availableReplicas": 1}},
            False,
        ),
        (
            {"metadata": {"generation": 2}, "spec": {}, "status": {"observedGeneration": 2, "availableReplicas": 1}},
            True,
        ),
        ({"metadata": {}, "spec": {"replicas": 0}, "status": {}}, False),
        ({"metadata": {}, "spec": {}, "status": {"desiredNumberScheduled": 2, "numberReady": 1}}, False),
        ({"metadata": {}, "spec": {}, "status": {"desiredNumberScheduled": 2, "numberReady": 2}}, True),
    ],
)
def test_availability_is_of_the_generation_asked_for(workload: Obj, expected: bool) -> None:
    assert available(workload) is expected
