"""A resolver's cache: answers for their TTL, and "there is none" for as long as RFC 2308 says."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdatatype
import dns.rrset

NEGATIVE_LIMIT = 10800
"""Longest time a denial is kept, s (RFC 2308 section 5: one to three hours)."""

Key = tuple[dns.name.Name, dns.rdatatype.RdataType]


class Cache:
    """Answers by name and type.

    Args:
        now: a clock that never goes back, s.
        limit: how many answers are kept; the longest unused goes first.
    """

    def __init__(self, now: Callable[[], float], limit: int = 10_000) -> None:
        self._now = now
        self._limit = limit
        self._entries: OrderedDict[Key, tuple[dns.message.Message, float, int]] = OrderedDict()

    def put(self, key: Key, message: dns.message.Message) -> None:
        """Keep an answer for as long as it may be kept; failures are not kept."""
        ttl = lifetime(message)
        if ttl is None or ttl <= 0:
            return
        self._entries[key] = message, self._now(), ttl
        self._entries.move_to_end(key)
        while len(self._entries) > self._limit:
            self._entries.popitem(last=False)

    def get(self, key: Key) -> dns.message.Message | None:
        """What is known, with its TTLs counted down."""
        if key not in self._entries:
            return None
        known, stored, ttl = self._entries[key]
        age = int(self._now() - stored)
        if age >= ttl:
            del self._entries[key]
            return None
        self._entries.move_to_end(key)
        message = dns.message.make_response(dns.message.make_query(*key))
        message.set_rcode(known.rcode())
        for section, rrsets in ((message.answer, known.answer), (message.authority, known.authority)):
            section += [dns.rrset.from_rdata_list(each.name, max(0, each.ttl - age), list(each)) for each in rrsets]
        return message


def lifetime(message: dns.message.Message) -> int | None:
    """Seconds an answer may be kept, or None where it may not.

    A denial lives for the lesser of its SOA's TTL and that SOA's minimum (RFC 2308 section 5).
    """
    if message.rcode() not in (dns.rcode.NOERROR, dns.rcode.NXDOMAIN):
        return None
    ttls = [rrset.ttl for rrset in message.answer]
    kind = message.question[0].rdtype
    denied = message.rcode() == dns.rcode.NXDOMAIN or not any(
        rrset.rdtype in (kind, dns.rdatatype.CNAME) or kind == dns.rdatatype.ANY for rrset in message.answer
    )
    if denied:
        soa = next((rrset for rrset in message.authority if rrset.rdtype == dns.rdatatype.SOA), None)
        if soa is None:
            return None
        ttls.append(min(soa.ttl, soa[0].minimum, NEGATIVE_LIMIT))
    return min(ttls) if ttls else None
