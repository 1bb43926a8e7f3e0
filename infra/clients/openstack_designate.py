"""Designate: zones, their name servers, recordsets."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, Literal

from infra.clients.errors import Conflict, Failed, NotFound, NotYet, Unavailable
from infra.clients.openstack_models import NameServer, Recordset, TtlBounds, Zone
from infra.clients.openstack_session import OpenStackSession, segment
from infra.clients.waiting import wait_until

SERVICE = "dns"
PAGE = 500

Done = Literal["unchanged", "created", "updated"]


class Designate:
    """Zones and recordsets of the project."""

    def __init__(self, session: OpenStackSession) -> None:
        self._session = session

    async def zones(self) -> tuple[Zone, ...]:
        """Every zone the project sees."""
        return tuple([Zone.model_validate(item) async for item in self._pages("/zones", "zones", {})])

    async def zone(self, name: str) -> Zone | None:
        """The zone of exactly that name (with or without the final dot)."""
        name = absolute(name)
        async for item in self._pages("/zones", "zones", {"name": name}):
            if item["name"] == name:
                return Zone.model_validate(item)
        return None

    async def name_servers(self, zone_id: str) -> tuple[NameServer, ...]:
        """The name servers a zone is served by, by priority.

        Raises:
            NotFound: no such zone.
        """
        answer = await self._session.get(SERVICE, f"/zones/{segment(zone_id)}/nameservers")
        if answer is None:
            raise NotFound(f"Designate has no zone {zone_id}.")
        servers = [NameServer.model_validate(item) for item in answer.get("nameservers", ())]
        return tuple(sorted(servers, key=lambda server: (server.priority, server.hostname)))

    async def ttl_bounds(self) -> TtlBounds:
        """The TTLs a recordset may have: the settings' bounds, raised to the cloud's own minimum where it tells one."""
        settings = self._session.settings
        answer = await self._session.get(SERVICE, "/limits") or {}
        smallest = str(answer.get("min_ttl"))  # null where the cloud sets none
        told = int(smallest) if smallest.isdigit() else 0
        return TtlBounds(smallest=max(settings.dns_ttl_min, told), largest=settings.dns_ttl_max)

    async def recordsets(self, zone_id: str) -> tuple[Recordset, ...]:
        """Every recordset of a zone.

        Raises:
            NotFound: no such zone.
        """
        path = f"/zones/{segment(zone_id)}/recordsets"
        return tuple([Recordset.model_validate(item) async for item in self._pages(path, "recordsets", {})])

    async def all_recordsets(self) -> tuple[Recordset, ...]:
        """Every recordset of every zone of the project."""
        return tuple([Recordset.model_validate(item) async for item in self._pages("/recordsets", "recordsets", {})])

    async def recordset(self, zone_id: str, name: str, type: str) -> Recordset | None:
        """The recordset of exactly that name and type."""
        name = absolute(name)
        path = f"/zones/{segment(zone_id)}/recordsets"
        # Designate reads * in the name filter as "anything": *.dev.example. also finds web.dev.example.
        async for item in self._pages(path, "recordsets", {"name": name, "type": type}):
            if item["name"] == name and item["type"] == type:
                return Recordset.model_validate(item)
        return None

    async def ensure_recordset(
        self,
        zone_id: str,
        name: str,
        type: str,
        records: Iterable[str],
        *,
        ttl: int,
        description: str | None = None,
    ) -> tuple[Recordset, Done]:
        """Make a recordset be so, with the smallest write; it may still be PENDING, see `wait_active`.

        Args:
            ttl: seconds.
            description: also carries the environment's mark.

        Raises:
            NotYet: a recordset of that name is still being deleted.
        """
        wanted = tuple(sorted(records))
        found = await self.recordset(zone_id, name, type)
        if found is None:
            body = {"name": absolute(name), "type": type, "records": list(wanted), "ttl": ttl}
            try:
                path = f"/zones/{segment(zone_id)}/recordsets"
                answer = await self._session.send(
                    SERVICE, "POST", path, json={**body, "description": description or ""}
                )
                return Recordset.model_validate(answer), "created"
            except (Conflict, Unavailable):
                # The create may have arrived although its answer did not: look before anything else.
                found = await self.recordset(zone_id, name, type)
                if found is None:
                    raise
        if found.action == "DELETE":
            raise NotYet(f"Recordset {found.name} {type} is still being deleted.", retry_after=1)
        if found.records == wanted and found.ttl == ttl and (found.description or "") == (description or ""):
            return found, "unchanged"
        path = f"/zones/{segment(zone_id)}/recordsets/{found.id}"
        change = {"records": list(wanted), "ttl": ttl, "description": description or ""}
        answer = await self._session.send(SERVICE, "PUT", path, json=change, harmless_twice=True)
        return Recordset.model_validate(answer), "updated"

    async def delete_recordset(self, zone_id: str, recordset_id: str) -> bool:
        """Delete a recordset; False when it was gone already."""
        return await self._session.delete(SERVICE, f"/zones/{segment(zone_id)}/recordsets/{segment(recordset_id)}")

    async def wait_active(
        self,
        zone_id: str,
        recordset_id: str,
        *,
        timeout: float,
        interval: float = 0.5,
        progress: Callable[[str], None] | None = None,
    ) -> Recordset:
        """Wait until Designate has given a recordset to its name servers (which does not mean that all answer).

        ERROR is not final: Designate's worker repairs such recordsets at its next periodic recovery.

        Raises:
            Failed: it was deleted while we waited.
            DeadlineExceeded: with the last status.
        """

        async def look() -> Recordset:
            answer = await self._session.get(SERVICE, f"/zones/{segment(zone_id)}/recordsets/{segment(recordset_id)}")
            if answer is None:
                raise Failed(f"Recordset {recordset_id} was deleted by somebody else while we waited for it.")
            found = Recordset.model_validate(answer)
            if found.status != "ACTIVE":
                raise NotYet(f"Recordset {found.name} {found.type} is {found.status} ({found.action}).")
            return found

        return await wait_until(
            look,
            describe=f"recordset {recordset_id}",
            timeout=timeout,
            interval=interval,
            progress=progress,
            clock=self._session.clock,
        )

    async def wait_deleted(self, zone_id: str, recordset_id: str, *, timeout: float, interval: float = 0.5) -> None:
        """Wait until Designate no longer knows a recordset."""

        async def look() -> None:
            answer = await self._session.get(SERVICE, f"/zones/{segment(zone_id)}/recordsets/{segment(recordset_id)}")
            if answer is not None:
                raise NotYet(f"Recordset {answer['name']} {answer['type']} is {answer['status']} ({answer['action']}).")

        await wait_until(
            look,
            describe=f"the end of recordset {recordset_id}",
            timeout=timeout,
            interval=interval,
            clock=self._session.clock,
        )

    async def _pages(self, path: str, key: str, params: dict[str, Any]) -> Any:
        query = {**params, "limit": PAGE}
        while True:
            answer = await self._session.get(SERVICE, path, params=query)
            if answer is None:
                raise NotFound(f"Designate has no {path}.")
            page = answer.get(key, [])
            for item in page:
                yield item
            if not page or not (answer.get("links") or {}).get("next"):
                return
            query["marker"] = page[-1]["id"]


def absolute(name: str) -> str:
    """A DNS name in lower case with its final dot."""
    return name.lower().rstrip(".") + "."
