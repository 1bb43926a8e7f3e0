"""A small caching resolver in front of the sandbox's authoritative servers, negative caching included."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable, Mapping, Sequence

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.rrset

from deployments.sandbox.dns.cache import Cache, Key

CHAIN_LIMIT = 8
HOST_TTL = 3600

Ask = Callable[[dns.message.Message, str, int], Awaitable[dns.message.Message]]


async def ask(query: dns.message.Message, host: str, port: int) -> dns.message.Message:
    """Ask one server, by TCP when the answer is too long for UDP."""
    response, _ = await dns.asyncquery.udp_with_fallback(query, host, port=port, timeout=3)
    return response


class Resolver:
    """Answers from its cache, its table of hosts, or one of the authoritative servers.

    Args:
        servers: addresses of the authoritative servers.
        port: where they listen.
        hosts: names that are known without asking: the servers' own.
        cache: what has been learned.
        ask: asks a server.
        rng: decides which server is asked first.
    """

    def __init__(
        self,
        servers: Sequence[str],
        port: int,
        hosts: Mapping[str, str],
        cache: Cache,
        *,
        ask: Ask = ask,
        rng: random.Random | None = None,
    ) -> None:
        self._servers = list(servers)
        self._port = port
        self._hosts = {dns.name.from_text(name): address for name, address in hosts.items()}
        self._cache = cache
        self._ask = ask
        self._random = rng or random.Random()

    async def answer(self, query: dns.message.Message) -> dns.message.Message:
        """Resolve the question, following aliases."""
        response = dns.message.make_response(query, recursion_available=True)
        if query.opcode() != dns.opcode.QUERY or not query.question:
            response.set_rcode(dns.rcode.NOTIMP)
            return response
        name, kind = query.question[0].name, query.question[0].rdtype
        for _ in range(CHAIN_LIMIT):
            part = await self._lookup((name, kind))
            response.answer.extend(part.answer)
            response.set_rcode(part.rcode())
            target = _open_alias(part, name, kind)
            if target is None:
                response.authority.extend(part.authority)
                break
            name = target
        return response

    async def _lookup(self, key: Key) -> dns.message.Message:
        known = self._hosts.get(key[0])
        if known is not None and key[1] == dns.rdatatype.A:
            message = dns.message.make_response(dns.message.make_query(*key))
            message.answer.append(dns.rrset.from_text(key[0], HOST_TTL, "IN", "A", known))
            return message
        cached = self._cache.get(key)
        if cached is not None:
            return cached
        fresh = await self._fetch(key)
        self._cache.put(key, fresh)
        return fresh

    async def _fetch(self, key: Key) -> dns.message.Message:
        """The first proper answer of a server; SERVFAIL when there is none."""
        query = dns.message.make_query(*key, use_edns=True, payload=1232)
        query.flags &= ~dns.flags.RD
        for server in self._random.sample(self._servers, len(self._servers)):
            try:
                response = await self._ask(query, server, self._port)
            except (dns.exception.DNSException, OSError, TimeoutError):
                continue
            if response.rcode() in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
                return response
        failed = dns.message.make_response(query)
        failed.set_rcode(dns.rcode.SERVFAIL)
        return failed


def _open_alias(
    message: dns.message.Message, name: dns.name.Name, kind: dns.rdatatype.RdataType
) -> dns.name.Name | None:
    """The name at the end of the answer's aliases, where the answer does not say more about it."""
    if message.rcode() != dns.rcode.NOERROR or kind in (dns.rdatatype.CNAME, dns.rdatatype.ANY):
        return None
    aliases = {rrset.name: rrset[0].target for rrset in message.answer if rrset.rdtype == dns.rdatatype.CNAME}
    end = name
    for _ in range(len(aliases)):
        if end not in aliases:
            break
        end = aliases[end]
    denied = any(rrset.rdtype == dns.rdatatype.SOA for rrset in message.authority)
    answered = any(rrset.name == end and rrset.rdtype == kind for rrset in message.answer)
    return None if end == name or denied or answered else end
