"""An authoritative server that is a secondary of Designate's hidden primary (mdns).

Its list of zones is a folder with one file each, written by the Designate backend; their contents come by NOTIFY and
AXFR (RFC 1996, RFC 5936) and are kept on disk, so that it answers at once after a restart and refreshes then.
"""

from __future__ import annotations

import asyncio
import json
import logging
from collections.abc import Callable
from pathlib import Path
from urllib.parse import quote

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.zone

from deployments.sandbox.dns.answers import Zone, respond
from deployments.sandbox.layout import write

LOG = logging.getLogger(__name__)

TRANSFER_TIMEOUT = 10.0
REFRESH_SECONDS = 30.0
"""How often every zone's serial is compared with the primary's, lest a NOTIFY was lost."""
RETRY_SECONDS = 0.5


class Secondary:
    """One name server's zones.

    Args:
        folder: its own folder: `zones/` is the list, `contents/` what it has.
        lag: seconds by which it is to be late, now.
    """

    def __init__(self, folder: Path, lag: Callable[[], float]) -> None:
        self._list = folder / "zones"
        self._contents = folder / "contents"
        self._lag = lag
        self._stamp = -1
        self._locks: dict[dns.name.Name, asyncio.Lock] = {}
        self._late: set[asyncio.Task[bool]] = set()
        self.primaries: dict[dns.name.Name, tuple[str, int]] = {}
        """Where each zone is transferred from: host and port."""
        self.zones: dict[dns.name.Name, Zone] = {}
        for path in (self._list, self._contents):
            path.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._rescan()
        for name in self.primaries:
            self._load(name)

    async def answer(self, query: dns.message.Message) -> dns.message.Message:
        """Answer a query or a NOTIFY."""
        self._rescan()
        if query.opcode() == dns.opcode.NOTIFY and query.question:
            return await self._notified(query)
        if query.opcode() != dns.opcode.QUERY:
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.NOTIMP)
            return response
        return respond(query, self.zones)

    async def refresh_forever(self) -> None:
        """Compare every zone with its primary now, until it answers, and from time to time."""
        while True:
            done = await asyncio.gather(*(self.refresh(name) for name in list(self.primaries)))
            await asyncio.sleep(REFRESH_SECONDS if all(done) else RETRY_SECONDS)
            self._rescan()

    async def refresh(self, name: dns.name.Name) -> bool:
        """Transfer a zone if the primary's serial differs; returns whether the primary could be asked."""
        if name not in self.primaries:
            return True
        host, port = self.primaries[name]
        query = dns.message.make_query(name, dns.rdatatype.SOA)
        try:
            response = await dns.asyncquery.udp(query, host, port=port, timeout=2)
        except (dns.exception.DNSException, OSError):
            return False
        if response.rcode() != dns.rcode.NOERROR or not response.answer:
            return True
        known = self.zones.get(name)
        if known is not None and known.serial == response.answer[0][0].serial:
            return True
        return await self.transfer(name)

    async def transfer(self, name: dns.name.Name) -> bool:
        """Fetch a zone; returns whether that worked."""
        if name not in self.primaries:
            return False
        host, port = self.primaries[name]
        async with self._locks.setdefault(name, asyncio.Lock()):
            zone = dns.zone.Zone(name, relativize=False)
            try:
                await dns.asyncquery.inbound_xfr(
                    host, zone, port=port, timeout=TRANSFER_TIMEOUT, lifetime=TRANSFER_TIMEOUT
                )
            except (dns.exception.DNSException, OSError, EOFError) as error:
                LOG.warning("Transfer of %s failed: %s", name, error or type(error).__name__)
                return False
            if name in self.primaries:
                self.zones[name] = Zone(zone)
                write(self._content(name), zone.to_text(relativize=False))
        return True

    async def _notified(self, query: dns.message.Message) -> dns.message.Message:
        name = query.question[0].name
        response = dns.message.make_response(query)
        if name not in self.primaries:
            response.set_rcode(dns.rcode.NOTAUTH)
            return response
        response.flags |= dns.flags.AA
        lag = self._lag()
        if lag > 0:
            task = asyncio.create_task(self._transfer_late(name, lag))
            self._late.add(task)
            task.add_done_callback(self._late.discard)
        # Before the reply: Designate polls the serial right after it, and asks once a second only.
        elif not await self.transfer(name):
            response.set_rcode(dns.rcode.SERVFAIL)
        return response

    async def _transfer_late(self, name: dns.name.Name, lag: float) -> bool:
        await asyncio.sleep(lag)
        return await self.transfer(name)

    def _rescan(self) -> None:
        """Follow the list of zones; one look at the folder's time stamp when nothing has changed."""
        stamp = self._list.stat().st_mtime_ns
        if stamp == self._stamp:
            return
        self._stamp = stamp
        found = {}
        for path in self._list.glob("*.json"):
            try:
                entry = json.loads(path.read_text())
            except FileNotFoundError:
                continue
            master = entry["masters"][0]
            found[dns.name.from_text(entry["zone"])] = master["host"], master["port"]
        for name in self.primaries.keys() - found.keys():
            self.zones.pop(name, None)
            self._content(name).unlink(missing_ok=True)
        self.primaries = found

    def _load(self, name: dns.name.Name) -> None:
        path = self._content(name)
        if not path.exists():
            return
        try:
            self.zones[name] = Zone(dns.zone.from_text(path.read_text(), origin=name, relativize=False))
        except (dns.exception.DNSException, ValueError) as error:
            LOG.warning("%s is unreadable and will be transferred again: %s", path, error)

    def _content(self, name: dns.name.Name) -> Path:
        return self._contents / f"{quote(name.to_text().lower(), safe='.-_*')}.zone"
