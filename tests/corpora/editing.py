"""Changes by hand, asked of the real API server: it keeps the books, and drops or fills in what it does of each.

Most are PUT as `kubectl edit` would on a dry run: nothing changes, and the answer is as if it had. What cannot be
changed so, a person deletes and creates anew. Some are made really, so that the server can say what applying the
declaration would make of them, and then taken back.
"""

from __future__ import annotations

import copy
import random
from collections.abc import AsyncIterator, Callable, Iterator
from dataclasses import replace
from itertools import zip_longest
from typing import Any

from aiohttp import ServerDisconnectedError

from deployments.sandbox.controllers.kube.client import ApiError, Client
from infra.clients.errors import NotYet, PlumblineError
from infra.clients.kubernetes import KubernetesClient
from infra.clients.waiting import wait_until
from tests.corpora.chosen import chosen
from tests.corpora.corpus import AGAIN, ANEW, CREATOR, EDITOR, Edit, Recorded
from tests.corpora.mutations import Mutation, mutations, put
from tests.corpora.sanitising import sanitised
from tests.corpora.staging import say

Object = dict[str, Any]
PER_OBJECT, PER_DEFINITION = 7, 3
REALLY = 1
UNTOUCHED = frozenset({"APIService"})
"""Kinds of which an edit disturbs discovery, even on a dry run."""
QUIET = frozenset({"ConfigMap", "CronJob", "Deployment", "Ingress", "LimitRange", "NetworkPolicy", "Role", "Secret",
                   "Service", "ServiceAccount", "StatefulSet", "Widgetapplied", "Widgethelm"})  # fmt: skip
"""Kinds that can be edited and put back without disturbing anybody."""
WATCHED = "kubernetes.io/service-account-token"
"""Secrets that the controller manager deletes as soon as they do not fit their ServiceAccount."""
INVALID, CONFLICT = 422, 409
BORN_WITH = ("creationTimestamp", "managedFields", "resourceVersion", "uid")


class Editor:
    """A person at work on recorded objects.

    Args:
        rows: the recorded objects.
        kubernetes: knows the kinds.
        client: writes.
    """

    def __init__(self, rows: list[Recorded], kubernetes: KubernetesClient, client: Client) -> None:
        self._rows, self._kubernetes, self._client = rows, kubernetes, client

    async def tried(self, index: int, each: Mutation) -> Edit | None:
        """What the server would make of a change; None where it refuses what no person could do, either."""
        try:
            return self._edit(index, each, await self.put(each.live, EDITOR, dry=True))
        except ApiError as error:
            if error.status != INVALID:
                return None
        try:
            return self._edit(index, replace(each, what=f"{each.what}{ANEW}"), await self._anew(each.live))
        except ApiError:
            return None

    async def made(self, index: int, each: Mutation) -> Edit | None:
        """What the server makes of a change, and would make of applying the declaration; taken back at once."""
        row = self._rows[index]
        try:
            live = await self.put(each.live, EDITOR)
        except ApiError:
            return None
        edit = self._edit(index, each, live, await self._answer(row))
        # With its managed fields, as if nothing had been.
        await self.put(row.live, EDITOR)
        return edit

    async def put(self, item: Object, manager: str, *, dry: bool = False) -> Object:
        """PUT an object over what is there, whatever has been written to it since it was recorded."""
        path = await self._path(item, item["metadata"]["name"])
        params = {"fieldManager": manager, **({"dryRun": "All"} if dry else {})}
        body = item

        async def attempt() -> Object:
            nonlocal body
            try:
                return await self._put(path, body, params)
            except ApiError as error:
                if error.status != CONFLICT:
                    raise
                version = (await self._client.request("GET", path))["metadata"]["resourceVersion"]
                body = {**item, "metadata": {**item["metadata"], "resourceVersion": version}}
                raise NotYet("Somebody else has written meanwhile.") from error

        return await wait_until(attempt, describe=f"a write to {path}", timeout=60, interval=0.1)

    async def _put(self, path: str, body: Object, params: dict[str, str]) -> Object:
        try:
            return await self._client.request("PUT", path, body=body, params=params)
        except ServerDisconnectedError as error:
            # A request that panics in the API server is cut off.
            say(f"no answer: {path}")
            raise ApiError(500, "InternalError", "The API server gave no answer.") from error

    async def _anew(self, item: Object) -> Object:
        """The object as the same person creates it, once it is deleted."""
        fresh = copy.deepcopy(item)
        name = fresh["metadata"]["name"]
        fresh["metadata"] = {key: value for key, value in fresh["metadata"].items() if key not in BORN_WITH}
        fresh["metadata"]["name"] = f"{name}-anew"
        fresh.pop("status", None)
        # Who binds a volume anew knows no version of the claim.
        fresh.get("spec", {}).get("claimRef", {}).pop("resourceVersion", None)
        params = {"fieldManager": CREATOR, "dryRun": "All"}
        live = await self._client.request("POST", await self._path(item), body=fresh, params=params)
        live["metadata"]["name"] = name
        return live

    async def _path(self, item: Object, name: str | None = None) -> str:
        resource = await self._kubernetes.resource(item["apiVersion"], item["kind"])
        if resource is None:
            raise ApiError(404, "NotFound", f"no kind {item['kind']}")
        return resource.path(name, item["metadata"].get("namespace"))

    async def _answer(self, row: Recorded) -> Object | None:
        try:
            return await self._kubernetes.apply(row.declared, dry_run=True)
        except PlumblineError:
            return None

    def _edit(self, index: int, each: Mutation, live: Object, answer: Object | None = None) -> Edit:
        row = self._rows[index]
        clean = sanitised(Recorded(row.source, row.declared, live, answer))
        return Edit(index, each.what, list(each.paths), clean.live, clean.dry_run)


async def record_edits(rows: list[Recorded], kubernetes: KubernetesClient, client: Client) -> list[Edit]:
    """Edits of every recorded object; the really made ones at the end."""
    editor = Editor(rows, kubernetes, client)
    chance = random.Random(896)
    found: list[Edit] = []
    for index, row in enumerate(rows):
        if row.live["kind"] not in UNTOUCHED:
            found += [each async for each in _sample(editor, chance, index, row)]
    for index, each in chosen(rows):
        edit = await editor.tried(index, each)
        if edit is None:
            say(f"refused: {each.what} {rows[index].live['kind']} {each.paths}")
        else:
            found.append(edit)
    for index, row in enumerate(rows):
        if row.source == "adopted" and row.live["kind"] not in UNTOUCHED:
            found.append(await _again(editor, index, row))
    for index, row in enumerate(rows):
        if row.live["kind"] in QUIET and row.live.get("type") != WATCHED and row.dry_run is not None:
            known = [make for what, make in mutations(row)]
            tried = [await editor.made(index, make()) for make in chance.sample(known, min(REALLY, len(known)))]
            found += [edit for edit in tried if edit is not None and edit.paths]
    return found


async def _sample(editor: Editor, chance: random.Random, index: int, row: Recorded) -> AsyncIterator[Edit]:
    """Some edits of each sort, of those that the server takes."""
    most = PER_DEFINITION if row.live["kind"] == "CustomResourceDefinition" else PER_OBJECT
    for make in _mixed(chance, row):
        edit = await editor.tried(index, make())
        if edit is not None:
            yield edit
            most -= 1
        if not most:
            return


def _mixed(chance: random.Random, row: Recorded) -> Iterator[Callable[[], Mutation]]:
    """Every change that the object allows, in an order that goes round the kinds of change."""
    kinds: dict[str, list[Callable[[], Mutation]]] = {}
    for what, make in mutations(row):
        kinds.setdefault(what, []).append(make)
    for each in kinds.values():
        chance.shuffle(each)
    for together in zip_longest(*kinds.values()):
        yield from filter(None, together)


async def _again(editor: Editor, index: int, row: Recorded) -> Edit:
    """The object after its creator has applied it once more: all of it is in their name, and of now."""
    key = "kubectl.kubernetes.io/last-applied-configuration"
    live = put(row.live, ("metadata", "annotations", key), "{}")
    answer = await editor.put(live, CREATOR, dry=True)
    return Edit(index, AGAIN, [], sanitised(Recorded(row.source, row.declared, answer, None)).live)
