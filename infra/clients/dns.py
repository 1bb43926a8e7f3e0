"""What the name servers really say: every authoritative one first, resolvers only when all of them agree.

Designate's ACTIVE does not mean that each name server has a record; and a resolver that is asked too early keeps
"there is no such name" for the SOA's minimum, up to an hour (cert-manager#4246, RFC 2308 section 5).
"""

from __future__ import annotations

import asyncio
import ipaddress
from collections.abc import Collection, Iterable, Sequence
from typing import Literal

import dns.asyncquery
import dns.asyncresolver
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.nameserver
import dns.rcode
import dns.rdata
import dns.rdataclass
import dns.rdatatype
import dns.resolver
from pydantic import BaseModel, ConfigDict

from infra.clients.errors import InvalidInput, Misconfigured, NotYet, Unavailable
from infra.clients.stopwatch import waiting_for
from infra.settings import Settings, get_settings

TIMEOUT = 3.0
"""Seconds one question may take; name servers answer in milliseconds or not at all."""
ATTEMPTS = 2
"""UDP loses packets: a silent server is asked again before it is called silent."""

Outcome = Literal["answer", "nodata", "nxdomain", "refused", "servfail", "lame", "silent"]

_OUTCOMES: dict[dns.rcode.Rcode, Outcome] = {
    dns.rcode.NXDOMAIN: "nxdomain",
    dns.rcode.REFUSED: "refused",
    dns.rcode.NOTAUTH: "lame",
}


class Answer(BaseModel):
    """What one server said about one name and type."""

    model_config = ConfigDict(frozen=True)

    server: str
    """The name it was asked by."""
    address: str
    outcome: Outcome
    """answer; nodata (the name is there, the type is not); nxdomain; refused; servfail; lame (it does not carry the
    zone); silent (no answer in time)."""
    records: tuple[str, ...] = ()
    ttl: int | None = None
    serial: int | None = None
    """The zone's serial on this server, where it was asked for."""
    detail: str = ""

    def __str__(self) -> str:
        said = ", ".join(self.records) if self.records else self.outcome
        return f"{self.server} ({self.address}): {said}{f' [serial {self.serial}]' if self.serial is not None else ''}"


class DnsClient:
    """Questions to name servers and resolvers.

    Args:
        resolvers: `address` or `address:port`; the system's when empty. They find the name servers' addresses.
        port: of the authoritative name servers.
        timeout: seconds one question may take.
    """

    def __init__(
        self,
        resolvers: Sequence[str] | None = None,
        port: int | None = None,
        *,
        settings: Settings | None = None,
        timeout: float = TIMEOUT,
    ) -> None:
        settings = settings or get_settings()
        self._port = settings.dns_port if port is None else port
        self._timeout = timeout
        self._resolvers = [endpoint(item) for item in (settings.dns_resolvers if resolvers is None else resolvers)]
        self._addresses: dict[str, tuple[str, ...]] = {}

    async def addresses(self, server: str) -> tuple[str, ...]:
        """The addresses of a name server's host name, by the resolvers; an address stands for itself.

        Raises:
            Unavailable: the resolvers do not know it now.
        """
        if _is_address(server):
            return (server,)
        key = _absolute(server)
        if key not in self._addresses:
            found = await asyncio.gather(*(self._lookup(key, type) for type in ("A", "AAAA")))
            addresses = tuple(address for part in found for address in part)
            if not addresses:
                raise Unavailable(f"The resolvers know no address of the name server {server}.")
            self._addresses[key] = addresses
        return self._addresses[key]

    async def ask(self, server: str, name: str, type: str, *, zone: str | None = None) -> tuple[Answer, ...]:
        """Ask one authoritative name server, at each of its addresses.

        Args:
            zone: also ask for this zone's serial.
        """
        try:
            addresses = await self.addresses(server)
        except Unavailable as error:
            return (Answer(server=server, address="?", outcome="silent", detail=str(error)),)
        return tuple(await asyncio.gather(*(self._ask(server, address, name, type, zone) for address in addresses)))

    async def ask_all(
        self, servers: Iterable[str], name: str, type: str, *, zone: str | None = None
    ) -> tuple[Answer, ...]:
        """Ask every authoritative name server, side by side."""
        answers = await asyncio.gather(*(self.ask(server, name, type, zone=zone) for server in servers))
        return tuple(answer for part in answers for answer in part)

    async def propagated(
        self, name: str, type: str, expected: Collection[str], servers: Sequence[str], *, zone: str | None = None
    ) -> tuple[Answer, ...]:
        """See that every name server answers exactly `expected`; with nothing expected, that none has a record.

        Raises:
            NotYet: naming the servers that lag, and what they say instead.
            InvalidInput: without a server there is nothing to see.
        """
        if not servers:
            raise InvalidInput(f"There is no name server to ask for {name}.")
        wanted = frozenset(normal(item, type) for item in expected)
        answers = await self.ask_all(servers, name, type, zone=zone)
        lagging = [answer for answer in answers if not _agrees(answer, wanted)]
        if lagging:
            raise NotYet(
                f"{len(lagging)} of {len(answers)} name servers lag for {name} {type}.",
                detail="; ".join(str(answer) for answer in lagging),
            )
        return answers

    async def resolve(self, name: str, type: str) -> tuple[Answer, ...]:
        """Ask each resolver. Only after `propagated`: what a resolver does not find now, it does not find for long."""
        resolvers = self._resolvers or _system()
        questions = (self._query(address, address, port, name, type, recurse=True) for address, port in resolvers)
        return tuple(await asyncio.gather(*questions))

    async def negative_ttl(self, zone: str, servers: Sequence[str]) -> int:
        """Seconds a resolver may remember that a name of a zone is not there (RFC 2308: SOA minimum, or its TTL).

        Raises:
            Unavailable: no name server answers for the zone.
        """
        for answer in await self.ask_all(servers, zone, "SOA"):
            if answer.outcome == "answer" and answer.ttl is not None:
                return min(answer.ttl, int(answer.records[0].split()[6]))
        raise Unavailable(f"No name server answers for the zone {zone}.")

    async def _ask(self, server: str, address: str, name: str, type: str, zone: str | None) -> Answer:
        answer = await self._query(server, address, self._port, name, type, recurse=False)
        if zone is None or answer.outcome == "silent":
            return answer
        soa = await self._query(server, address, self._port, zone, "SOA", recurse=False)
        serial = int(soa.records[0].split()[2]) if soa.outcome == "answer" else None
        return answer.model_copy(update={"serial": serial})

    async def _query(self, server: str, address: str, port: int, name: str, type: str, *, recurse: bool) -> Answer:
        try:
            question = dns.message.make_query(_absolute(name), type, use_edns=True)
        except (dns.exception.DNSException, ValueError) as error:
            raise InvalidInput(f"{name} {type} is no DNS question.", detail=str(error)) from error
        if not recurse:
            question.flags &= ~dns.flags.RD
        problem = ""
        for _ in range(ATTEMPTS):
            try:
                with waiting_for("dns"):
                    reply, _tcp = await dns.asyncquery.udp_with_fallback(
                        question, address, timeout=self._timeout, port=port, ignore_unexpected=True
                    )
                return _read(reply, server, address, type, recurse)
            except dns.exception.Timeout:
                problem = f"no answer within {self._timeout:g} s"
            except (dns.exception.DNSException, OSError, EOFError) as error:
                problem = f"{error.__class__.__name__}: {error}"
        return Answer(server=server, address=address, outcome="silent", detail=problem)

    async def _lookup(self, host: str, type: str) -> tuple[str, ...]:
        resolver = dns.asyncresolver.Resolver(configure=not self._resolvers)
        resolver.lifetime = self._timeout * ATTEMPTS
        if self._resolvers:
            resolver.nameservers = [dns.nameserver.Do53Nameserver(address, port) for address, port in self._resolvers]
        try:
            with waiting_for("dns"):
                found = await resolver.resolve(host, type)
        except (dns.resolver.NXDOMAIN, dns.resolver.NoAnswer):
            return ()
        except (dns.exception.DNSException, OSError) as error:
            raise Unavailable(f"The resolvers do not answer for the name server {host}.", detail=str(error)) from error
        return tuple(sorted(str(item) for item in found))


def _read(reply: dns.message.Message, server: str, address: str, type: str, recurse: bool) -> Answer:
    wanted = dns.rdatatype.from_text(type)
    code = reply.rcode()
    if code != dns.rcode.NOERROR:
        outcome: Outcome = _OUTCOMES.get(code, "servfail")
        return Answer(server=server, address=address, outcome=outcome, detail=dns.rcode.to_text(code))
    sets = [found for found in reply.answer if found.rdtype == wanted]
    if not sets:
        # Without an answer and without authority it only refers us to somebody else: it does not carry the zone.
        lame = not recurse and not reply.flags & dns.flags.AA and not reply.answer
        return Answer(server=server, address=address, outcome="lame" if lame else "nodata")
    records = tuple(sorted(normal(item.to_text(), type) for found in sets for item in found))
    return Answer(
        server=server, address=address, outcome="answer", records=records, ttl=min(found.ttl for found in sets)
    )


def _agrees(answer: Answer, wanted: frozenset[str]) -> bool:
    if not wanted:
        return answer.outcome in ("nxdomain", "nodata")
    return answer.outcome == "answer" and frozenset(answer.records) == wanted


def normal(record: str, type: str) -> str:
    """A record's text in the one form in which equal records are equal."""
    try:
        parsed = dns.rdata.from_text(
            dns.rdataclass.IN, dns.rdatatype.from_text(type), record, origin=dns.name.root, relativize=False
        )
    except (dns.exception.DNSException, ValueError) as error:
        raise InvalidInput(f"{record!r} is no {type} record.", detail=str(error)) from error
    text: str = parsed.canonicalize().to_text() if hasattr(parsed, "canonicalize") else parsed.to_text()
    return text if type in ("TXT", "SPF") else text.lower()


def endpoint(text: str) -> tuple[str, int]:
    """Address and port of a resolver given as `address`, `address:port` or `[v6]:port`.

    Raises:
        Misconfigured: it is none of these.
    """
    host, port = text, "53"
    if text.startswith("["):
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    if not _is_address(host) or not port.isdigit() or not 0 < int(port) < 65536:
        raise Misconfigured(
            f"{text!r} is no resolver: an address, or address:port.", hint="Set PLUMBLINE_DNS_RESOLVERS."
        )
    return host, int(port)


def _system() -> list[tuple[str, int]]:
    try:
        return [(str(address), 53) for address in dns.resolver.get_default_resolver().nameservers]
    except dns.resolver.NoResolverConfiguration as error:
        raise Misconfigured("This machine has no resolver.", hint="Set PLUMBLINE_DNS_RESOLVERS.") from error


def _is_address(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True


def _absolute(name: str) -> str:
    return name.rstrip(".") + "."
