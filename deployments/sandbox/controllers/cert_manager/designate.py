"""TXT records of DNS-01 challenges in Designate, set and taken away; a record is there once every server answers it.

Designate itself is no witness: it calls a record ACTIVE when its servers have the change before, if both came at once.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import dns.asyncquery
import dns.exception
import dns.message

from deployments.sandbox.controllers.cloud import CloudError, Project
from infra.clients.errors import Failed, NotFound, Unavailable

AGENT = "designate-solver-stand-in"
"""Not one of the sandbox looking after itself: the solver is the platform's, and meets the faults that are set."""
TTL = 60
SPREADS = 30.0
"""Seconds Designate gets until its name servers answer a change."""


class Records:
    """The values of TXT records; several values of one name are one recordset.

    Args:
        clouds: clouds.yaml with the cloud `sandbox`.
        servers: address and port of each name server.
    """

    def __init__(self, clouds: Path, servers: Sequence[tuple[str, int]]) -> None:
        self._project, self._servers = Project(clouds, "sandbox", agent=AGENT), servers
        self._lock = asyncio.Lock()

    async def present(self, zone: str, name: str, value: str) -> None:
        """Have `value` among the values of `name`, and wait until it is served.

        Raises:
            NotFound: there is no such zone.
            Failed: Designate refused, or could not.
            Unavailable: it does not answer, or its servers are late.
        """
        async with self._lock:
            await self._change(zone, name, value, wanted=True)

    async def clean_up(self, zone: str, name: str, value: str) -> None:
        """Have it no more; errors as of `present`, but for a zone that is gone."""
        async with self._lock:
            await self._change(zone, name, value, wanted=False)

    async def _change(self, zone: str, name: str, value: str, *, wanted: bool) -> None:
        zones = (await self._call("GET", "/zones", name=zone))["zones"]
        if not zones:
            if wanted:
                raise NotFound(f"Designate has no zone {zone}.")
            return
        path, quoted = f"/zones/{zones[0]['id']}/recordsets", f'"{value}"'
        found = (await self._call("GET", path, name=name, type="TXT"))["recordsets"]
        before = found[0]["records"] if found else []
        after = [*(one for one in before if one != quoted), *([quoted] if wanted else [])]
        if not found:
            if after:
                made = {"name": name, "type": "TXT", "ttl": TTL, "records": after}
                found = [await self._call("POST", path, made)]
        elif not after:
            await self._call("DELETE", f"{path}/{found[0]['id']}")
            return
        elif after != before:
            await self._call("PUT", f"{path}/{found[0]['id']}", {"records": after})
        if wanted:
            await self._await_served(name, quoted, f"{path}/{found[0]['id']}")

    async def _await_served(self, name: str, quoted: str, path: str) -> None:
        deadline = time.monotonic() + SPREADS
        while not await self._served(name, quoted):
            status = (await self._call("GET", path))["status"]
            if status == "ERROR" or time.monotonic() > deadline:
                raise Unavailable(f"The record {name} is {status}, and not served.")
            await asyncio.sleep(0.2)

    async def _served(self, name: str, quoted: str) -> bool:
        """Whether every name server has the value."""
        query = dns.message.make_query(name, "TXT")
        try:
            for host, port in self._servers:
                answer, _ = await dns.asyncquery.udp_with_fallback(query, host, port=port, timeout=2)
                if quoted not in [str(value) for rrset in answer.answer for value in rrset]:
                    return False
        except (dns.exception.DNSException, OSError):
            return False
        return True

    async def _call(self, method: str, path: str, body: Any = None, **params: str) -> Any:
        try:
            return await self._project.call(method, "dns", path, body, **params)
        except CloudError as error:
            if error.status:
                raise Failed("Designate refused the record.", detail=str(error)) from error
            raise Unavailable("Designate does not answer.", detail=str(error)) from error
