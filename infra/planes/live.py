"""What is really in the cluster, read once per look: one LIST for each kind, one for all of Helm's records."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Iterable, Mapping
from typing import Any, TypeVar

from infra.clients.errors import Denied, PlumblineError
from infra.clients.helm import HelmClient
from infra.clients.helm_records import HelmRelease
from infra.clients.kubernetes import KubernetesClient, Object, UnknownKind
from infra.drift.concealing import Secrets, shows_text
from infra.drift.findings import BlindSpot, PlaneName
from infra.drift.ignoring import IgnoreRule
from infra.drift.keys import nameless
from infra.drift.memory import Memory
from infra.drift.objects import Key, Suspect, findings_of, key_of, placed, suspects, unpacked
from infra.drift.ownership import suspicious
from infra.drift.scaling import SCALED, SCALER, by_hand
from infra.drift.structure import DEFINITION, Structure, Structures
from infra.drift.values import builtin
from infra.drift.wording import address
from infra.planes.looking import Looked, blind_spot

log = logging.getLogger(__name__)
T = TypeVar("T")
Kind = tuple[str, str]
"""apiVersion and kind."""
SCALER_VERSIONS = ("autoscaling/v2", "autoscaling/v1")
"""Version 1 is served everywhere and says enough; version 2 is what most of them are listed as already."""
NAMELESS = "Nameless"
"""Category of an object that cannot be looked for."""
SIDE_BY_SIDE = 8
"""Dry runs at a time."""
Place = tuple[str, str]
"""Namespace and name of a release."""


class LiveObjects:
    """The cluster's objects as they were when a kind was first asked for.

    Args:
        kubernetes: reads only.
        helm: of the same cluster.
        memory: what was in step at earlier looks; learns.
        dry_runs: where an object differs, ask the API server what applying its declaration would change. What would
            stay as it is, admission has made so: it is no drift.
    """

    def __init__(
        self, kubernetes: KubernetesClient, helm: HelmClient, *, memory: Memory | None = None, dry_runs: bool = False
    ) -> None:
        self._kubernetes, self._helm, self._memory, self._dry_runs = kubernetes, helm, memory, dry_runs
        self._turns = asyncio.Semaphore(SIDE_BY_SIDE)
        self._lists: dict[Kind, asyncio.Future[dict[Key, Object]]] = {}
        self._releases: asyncio.Future[dict[Place, HelmRelease]] | None = None

    async def of(self, api_version: str, kind: str) -> dict[Key, Object]:
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
        return {key.name: item for key, item in (await self.of(api_version, kind)).items()}

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
        ignores: Iterable[IgnoreRule] = (),
    ) -> Looked:
        """Compare objects with what is there; a kind that cannot be listed is a blind spot for each of its objects.

        Args:
            namespace: of objects that name none.
            ignores: fields that others write by design.
        """
        by_kind: dict[Kind, list[Mapping[str, Any]]] = {}
        items = list(unpacked(declared))
        unnamed = tuple(_unnamed(plane, item) for item in items if nameless(item))
        items = [item for item in items if not nameless(item)]
        for item in items:
            by_kind.setdefault((item["apiVersion"], item["kind"]), []).append(item)

        async def scalers() -> dict[Key, Object]:
            return await self.scalers(await self.placed((each for each in items if each["kind"] == SCALER), namespace))

        looks = (self._look(plane, group, namespace, tuple(ignores), scalers) for group in by_kind.values())
        return Looked.together([Looked(blind_spots=unnamed), *await asyncio.gather(*looks)])

    async def placed(self, items: Iterable[Mapping[str, Any]], namespace: str) -> list[dict[str, Any]]:
        """Objects as the API server files them, under the given namespace where they name none."""
        items = list(items)
        kinds = {(item["apiVersion"], item["kind"]) for item in items}
        resources = {kind: await self._kubernetes.resource(*kind) for kind in kinds}

        def is_namespaced(api_version: str, kind: str) -> bool:
            # A kind that is not served has a namespace, as most have.
            resource = resources.get((api_version, kind))
            return resource is None or resource.namespaced

        return placed(items, namespace or "default", is_namespaced)

    async def scalers(self, declared: Iterable[Mapping[str, Any]]) -> dict[Key, Object]:
        """The autoscalers that are to be there: what one scales has the replicas that it wants.

        Those in `declared` (`placed`), and whatever was not made by hand; errors as for `of`.
        """
        wanted = {key_of(item) for item in declared if item["kind"] == SCALER and not nameless(item)}
        for version in SCALER_VERSIONS:
            if await self._kubernetes.resource(version, SCALER) is not None:
                found = await self.of(version, SCALER)
                return {key: item for key, item in found.items() if key in wanted or not by_hand(item)}
        return {}

    async def _look(
        self,
        plane: PlaneName,
        declared: list[Mapping[str, Any]],
        namespace: str,
        ignores: tuple[IgnoreRule, ...],
        scalers: Callable[[], Awaitable[dict[Key, Object]]],
    ) -> Looked:
        """Compare objects of one kind."""
        kind: Kind = (declared[0]["apiVersion"], declared[0]["kind"])
        try:
            live = await self.of(*kind)
            filed = await self.placed(declared, namespace)
            if kind[1] in SCALED:
                live = {**await scalers(), **live}
        except PlumblineError as error:
            hides = [f"{kind[1]}/*"]
            return Looked(blind_spots=tuple(blind_spot(plane, address(item), error, hides=hides) for item in declared))
        custom = not builtin(kind[0])
        by_person = custom and any(suspicious(live[key]) for key in map(key_of, filed) if key in live)
        if by_person:
            live = {**await self._definitions(), **live}
        found = suspects(filed, live, ignores=ignores, memory=self._memory)
        if custom and not by_person and any(each.differences for each in found):
            live = {**await self._definitions(), **live}
            found = suspects(filed, live, ignores=ignores, memory=self._memory)
        findings = findings_of(found, plane=plane, answers=await self._answers(found, Structures(live.values())))
        if not any(map(shows_text, findings)):
            return Looked(tuple(findings))
        secrets = await self._secrets()
        return Looked(tuple(map(secrets.conceal, findings)))

    async def _secrets(self) -> Secrets:
        """What must not be shown of the cluster; asked only where there is something to show."""
        try:
            return Secrets.of((await self.of("v1", "Secret")).values())
        except PlumblineError as error:
            log.info("Secrets could not be read, so that none is known by its value. %s", error)
            return Secrets()

    async def _answers(self, found: Iterable[Suspect], structures: Structures) -> dict[Key, Object | None]:
        """What applying would make of those objects that differ."""
        asked = [suspect for suspect in found if suspect.needs_dry_run]
        answers = await asyncio.gather(*(self._answer(each, structures.of(each.declared)) for each in asked))
        return {suspect.key: answer for suspect, answer in zip(asked, answers, strict=True)}

    async def _answer(self, suspect: Suspect, structure: Structure | None) -> Object | None:
        async with self._turns:
            if not self._dry_runs:
                return None
            try:
                wanted = suspect.declared if structure is None else structure.kept(suspect.declared)
                return await self._kubernetes.apply(wanted, dry_run=True)
            except Denied as error:
                if self._dry_runs:  # nor would the next one be let through
                    log.warning("Dry runs are not allowed, so that the comparison decides alone. %s", error)
                self._dry_runs = False
            except PlumblineError as error:
                log.info("What applying %s would change is not known. %s", address(suspect.declared), error)
            return None

    async def _definitions(self) -> dict[Key, Object]:
        """The definitions of custom resources; none where they cannot be listed."""
        try:
            return await self.of(*DEFINITION)
        except PlumblineError as error:
            log.info("What definitions say of custom resources is not known. %s", error)
            return {}

    async def _list(self, api_version: str, kind: str) -> dict[Key, Object]:
        if await self._kubernetes.resource(api_version, kind) is None:
            raise UnknownKind(
                f"The API server does not know {kind} of {api_version}.",
                hint="Its CustomResourceDefinition is not there.",
            )
        items = await self._kubernetes.list(api_version, kind)
        return {key_of(item): item for item in items}

    async def _list_releases(self) -> dict[Place, HelmRelease]:
        return {(item.namespace, item.name): item for item in await self._helm.releases()}


def _unnamed(plane: PlaneName, item: Mapping[str, Any]) -> BlindSpot:
    """What is to be said of an object whose name is generated."""
    why = "Its name is generated (generateName) when it is created, so that nobody can say which object it is."
    return BlindSpot(plane=plane, what=address(item), why=why, category=NAMELESS)
