"""TXT records of DNS-01 challenges in Designate, set and taken away; a record is there once both servers have it."""

from __future__ import annotations

import asyncio
import time
from pathlib import Path
from typing import Any

import openstack.config
import openstack.connection
import openstack.exceptions

from infra.clients.errors import Failed, NotFound, Unavailable

CLOUD = "sandbox"
TTL = 60
ACTIVE_TIME = 30.0
"""Seconds Designate gets until its name servers have a change."""


class Records:
    """The values of TXT records; several values of one name are one recordset.

    Args:
        clouds: clouds.yaml with the cloud `sandbox`.
    """

    def __init__(self, clouds: Path) -> None:
        self._clouds = clouds
        self._connection: openstack.connection.Connection | None = None
        self._lock = asyncio.Lock()

    async def present(self, zone: str, name: str, value: str) -> None:
        """Have `value` among the values of `name`, and wait until it is served.

        Raises:
            NotFound: there is no such zone.
            Failed: Designate refused, or could not.
            Unavailable: it does not answer, or its servers are late.
        """
        async with self._lock:
            await asyncio.to_thread(self._guarded, self._change, zone, name, value, True)

    async def clean_up(self, zone: str, name: str, value: str) -> None:
        """Have it no more; errors as of `present`, but for a zone that is gone."""
        async with self._lock:
            await asyncio.to_thread(self._guarded, self._change, zone, name, value, False)

    def _guarded(self, change: Any, *arguments: Any) -> None:
        try:
            change(*arguments)
        except openstack.exceptions.HttpException as error:
            raise Failed("Designate refused the record.", detail=str(error)) from error
        except (openstack.exceptions.SDKException, OSError) as error:
            self._connection = None
            raise Unavailable("Designate does not answer.", detail=str(error)) from error

    def _change(self, zone: str, name: str, value: str, wanted: bool) -> None:
        dns = self._dns()
        found = next(iter(dns.zones(name=zone)), None)
        if found is None:
            if not wanted:
                return
            raise NotFound(f"Designate has no zone {zone}.")
        recordset = next(iter(dns.recordsets(found, name=name, type="TXT")), None)
        quoted = f'"{value}"'
        before = list(recordset.records) if recordset is not None else []
        after = [*(one for one in before if one != quoted), *([quoted] if wanted else [])]
        if recordset is None:
            if after:
                recordset = dns.create_recordset(found, name=name, type="TXT", ttl=TTL, records=after)
        elif not after:
            dns.delete_recordset(recordset, found)
            return
        elif after != before:
            recordset = dns.update_recordset(recordset, zone_id=found.id, records=after)
        if recordset is not None:
            self._await_active(found, recordset)

    def _await_active(self, zone: Any, recordset: Any) -> None:
        deadline = time.monotonic() + ACTIVE_TIME
        while (status := self._dns().get_recordset(recordset.id, zone).status) != "ACTIVE":
            if status == "ERROR" or time.monotonic() > deadline:
                raise Unavailable(f"The record {recordset.name} is {status}.")
            time.sleep(0.2)

    def _dns(self) -> Any:
        if self._connection is None:
            config = openstack.config.OpenStackConfig(config_files=[str(self._clouds)])
            self._connection = openstack.connection.Connection(config=config.get_one(CLOUD))
        return self._connection.dns
