"""Which kinds an API server knows, and under which path: cached, and asked again when a kind is missing."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from urllib.parse import quote

from infra.clients.errors import NotFound
from infra.clients.kubernetes_transport import Transport


@dataclass(frozen=True)
class Resource:
    """A kind as the API server serves it."""

    api_version: str
    kind: str
    plural: str
    namespaced: bool
    verbs: frozenset[str]

    def path(self, name: str | None = None, namespace: str | None = None, subresource: str | None = None) -> str:
        """The path of an object, or of all objects without `name`; of every namespace without `namespace`."""
        root = "/api/v1" if self.api_version == "v1" else f"/apis/{self.api_version}"
        parts = [root]
        if self.namespaced and namespace:
            parts += ["namespaces", quote(namespace, safe="")]
        parts.append(self.plural)
        if name is not None:
            parts.append(quote(name, safe=""))
        if subresource:
            parts.append(subresource)
        return "/".join(parts)


class Discovery:
    """The kinds of one API server, by group version."""

    def __init__(self, transport: Transport) -> None:
        self._transport = transport
        self._known: dict[str, dict[str, Resource]] = {}
        self._locks: dict[str, asyncio.Lock] = {}

    async def find(self, api_version: str, kind: str) -> Resource | None:
        """The resource of a kind, None when the server does not know it (its CRD is not installed).

        A miss is never believed from the cache: the group version is read again.
        """
        found = self._known.get(api_version, {}).get(kind)
        if found is not None:
            return found
        lock = self._locks.setdefault(api_version, asyncio.Lock())
        async with lock:
            found = self._known.get(api_version, {}).get(kind)
            if found is None:
                self._known[api_version] = await self._read(api_version)
                found = self._known[api_version].get(kind)
        return found

    async def all(self) -> list[Resource]:
        """Every listable kind in its group's preferred version, read anew."""
        groups = (await self._transport.get("/apis")).get("groups", [])
        versions = ["v1", *(group["preferredVersion"]["groupVersion"] for group in groups)]
        results = await asyncio.gather(*(self._read(version) for version in versions))
        self._known.update(dict(zip(versions, results, strict=True)))
        return [resource for kinds in results for resource in kinds.values() if "list" in resource.verbs]

    def forget(self) -> None:
        """Read everything again when it is next asked for."""
        self._known.clear()

    async def _read(self, api_version: str) -> dict[str, Resource]:
        path = "/api/v1" if api_version == "v1" else f"/apis/{api_version}"
        try:
            answer = await self._transport.get(path)
        except NotFound:
            return {}
        return {
            item["kind"]: Resource(
                api_version, item["kind"], item["name"], bool(item["namespaced"]), frozenset(item.get("verbs", ()))
            )
            for item in answer.get("resources", ())
            if "/" not in item["name"]
        }
