"""What is really in the cluster, read once per look: one LIST for each kind, one for all of Helm's records."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable, Mapping
from typing import Any, TypeVar

from infra.catalog.models import Ignore
from infra.clients.errors import PlumblineError
from infra.clients.helm import HelmClient
from infra.clients.helm_records import HelmRelease
from infra.clients.kubernetes import KubernetesClient, Object, UnknownKind
from infra.drift.findings import BlindSpot, PlaneName
from infra.drift.objects import Key, compare_objects, key_of
from infra.drift.wording import address
from infra.planes.looking import Looked, blind_spot

T = TypeVar("T")
Kind = tuple[str, str]
"""apiVersion and kind."""
SCALERS: tuple[Kind, ...] = tuple((f"autoscaling/{one}", "HorizontalPodAutoscaler") for one in ("v2", "v1"))
"""Version 1 is served everywhere and says enough; version 2 is what most of them are listed as already."""
SCALED = frozenset({"Deployment", "StatefulSet", "ReplicaSet", "ReplicationController"})
Place = tuple[str, str]
"""Namespace, empty for cluster-wide kinds, and name."""


class LiveObjects:
    """The cluster's objects as they were when a kind was first asked for.

    Args:
        kubernetes: reads only.
        helm: of the same cluster.
    """

    def __init__(self, kubernetes: KubernetesClient, helm: HelmClient) -> None:
        self._kubernetes, self._helm = kubernetes, helm
        self._lists: dict[Kind, asyncio.Future[dict[Place, Object]]] = {}
        self._releases: asyncio.Future[dict[Place, HelmRelease]] | None = None

    async def of(self, api_version: str, kind: str) -> dict[Place, Object]:
        """Every object of a kind.

        Raises:
            UnknownKind: the API server does not serve it.
            Denied, Temporary: it could not be listed.
        """
        key = (api_version, kind)
        if key not in self._lists:
            self._lists[key] = asyncio.ensure_future(self._list(api_version, kind))
        return await self._lists[key]

    async def named(self, api_version: str, kind: str) -> dict[str, Object]:
        """Every object of a cluster-wide kind, by name; errors as for `of`."""
        return {name: item for (_, name), item in (await self.of(api_version, kind)).items()}

    async def release(self, name: str, namespace: str) -> HelmRelease | None:
        """The latest revision of a release; None when there is none."""
        if self._releases is None:
            self._releases = asyncio.ensure_future(self._list_releases())
        return (await self._releases).get((namespace, name))

    async def look(
        self,
        plane: PlaneName,
        declared: Iterable[Mapping[str, Any]],
        *,
        namespace: str = "",
        ignores: Iterable[Ignore] = (),
    ) -> Looked:
        """Compare objects with what is there; a kind that cannot be listed is a blind spot for each of its objects.

        Args:
            namespace: of objects that name none.
            ignores: fields that others write by design.
        """
        by_kind: dict[Kind, list[Mapping[str, Any]]] = {}
        for item in declared:
            by_kind.setdefault((item["apiVersion"], item["kind"]), []).append(item)
        looks = (self._look(plane, kind, items, namespace, tuple(ignores)) for kind, items in by_kind.items())
        return Looked.together(await asyncio.gather(*looks))

    async def placed(self, item: Mapping[str, Any], namespace: str) -> dict[str, Any]:
        """An object with the namespace it lands in: its own, the given one, or none for a cluster-wide kind."""
        resource = await self._kubernetes.resource(item["apiVersion"], item["kind"])
        metadata = dict(item["metadata"])
        if resource is not None and not resource.namespaced:
            metadata.pop("namespace", None)
        else:
            metadata["namespace"] = metadata.get("namespace") or namespace or "default"
        return {**item, "metadata": metadata}

    async def _look(
        self,
        plane: PlaneName,
        kind: Kind,
        declared: list[Mapping[str, Any]],
        namespace: str,
        ignores: tuple[Ignore, ...],
    ) -> Looked:
        try:
            live = await self.of(*kind)
            placed = [await self.placed(item, namespace) for item in declared]
            scalers = await self._scalers() if kind[1] in SCALED else {}
        except PlumblineError as error:
            spots = [_blind(plane, item, error) for item in declared]
            return Looked(blind_spots=tuple(spots))
        there = {key_of(item): item for item in live.values()}
        return Looked(tuple(compare_objects(placed, {**scalers, **there}, plane=plane, ignores=ignores)))

    async def _scalers(self) -> dict[Key, Object]:
        """The autoscalers: what one scales has the replicas that it wants."""
        for kind in SCALERS:
            if await self._kubernetes.resource(*kind) is not None:
                return {key_of(item): item for item in (await self.of(*kind)).values()}
        return {}

    async def _list(self, api_version: str, kind: str) -> dict[Place, Object]:
        if await self._kubernetes.resource(api_version, kind) is None:
            raise UnknownKind(
                f"The API server does not know {kind} of {api_version}.",
                hint="Its CustomResourceDefinition is not there.",
            )
        items = await self._kubernetes.list(api_version, kind)
        return {(item["metadata"].get("namespace") or "", item["metadata"]["name"]): item for item in items}

    async def _list_releases(self) -> dict[Place, HelmRelease]:
        return {(item.namespace, item.name): item for item in await self._helm.releases()}


def _blind(plane: PlaneName, item: Mapping[str, Any], error: PlumblineError) -> BlindSpot:
    return blind_spot(plane, address(item), error)
