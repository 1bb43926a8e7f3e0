"""What an authoritative server says: RFC 1034 section 4.3.2, with wildcards as RFC 4592 has them. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import dns.flags
import dns.message
import dns.name
import dns.rcode
import dns.rdataclass
import dns.rdataset
import dns.rdatatype
import dns.rrset
import dns.zone

CHAIN_LIMIT = 16
"""How many CNAMEs are followed; a loop ends there."""


class Zone:
    """A zone that was read with absolute names, and the names that exist in it, empty non-terminals included."""

    def __init__(self, data: dns.zone.Zone) -> None:
        self.data, self.origin = data, data.origin or dns.name.root
        depth = len(self.origin.labels)
        self.names = {owner.split(number)[1] for owner in data.nodes for number in range(depth, len(owner.labels) + 1)}

    @property
    def serial(self) -> int:
        """The SOA's serial number."""
        return int(self.soa()[0].serial)

    def soa(self) -> dns.rrset.RRset:
        """The SOA record."""
        found = self.rrset(self.origin, self.origin, dns.rdatatype.SOA)
        if found is None:
            raise LookupError(f"{self.origin} has no SOA record.")
        return found

    def rrset(self, owner: dns.name.Name, node: dns.name.Name, kind: dns.rdatatype.RdataType) -> dns.rrset.RRset | None:
        """The records of `node`, presented as those of `owner`."""
        data = self.data.get_rdataset(node, kind)
        return None if data is None else dns.rrset.from_rdata_list(owner, data.ttl, list(data))

    def source(self, name: dns.name.Name) -> dns.name.Name | None:
        """The name whose records answer for `name`: itself, a wildcard, or none (RFC 4592 section 3.3.1)."""
        if name in self.names:
            return name
        encloser = name.parent()
        while encloser not in self.names:
            encloser = encloser.parent()
        wildcard = dns.name.Name((b"*", *encloser.labels))
        return wildcard if wildcard in self.names else None

    def cut(self, name: dns.name.Name) -> dns.rrset.RRset | None:
        """The NS records of a delegation at or above `name`, below the zone's own."""
        for number in range(len(self.origin.labels) + 1, len(name.labels) + 1):
            node = name.split(number)[1]
            found = self.rrset(node, node, dns.rdatatype.NS)
            if found is not None:
                return found
        return None


def find(zones: Mapping[dns.name.Name, Zone], name: dns.name.Name) -> Zone | None:
    """The closest zone that `name` lies in."""
    while True:
        if name in zones:
            return zones[name]
        if name == dns.name.root:
            return None
        name = name.parent()


def respond(query: dns.message.Message, zones: Mapping[dns.name.Name, Zone]) -> dns.message.Message:
    """The authoritative answer to a query; REFUSED outside of our zones."""
    response = dns.message.make_response(query)
    if not query.question:
        response.set_rcode(dns.rcode.FORMERR)
        return response
    question = query.question[0]
    zone = find(zones, question.name)
    if zone is None or question.rdclass != dns.rdataclass.IN:
        response.set_rcode(dns.rcode.REFUSED)
        return response
    response.flags |= dns.flags.AA
    _answer(response, zone, question.name, question.rdtype)
    return response


def _answer(response: dns.message.Message, zone: Zone, name: dns.name.Name, kind: dns.rdatatype.RdataType) -> None:
    for _ in range(CHAIN_LIMIT):
        delegation = zone.cut(name)
        if delegation is not None:
            if not response.answer:
                response.flags &= ~dns.flags.AA
            response.authority.append(delegation)
            return
        source = zone.source(name)
        if source is None:
            response.set_rcode(dns.rcode.NXDOMAIN)
            break
        records = list(_records(zone, name, source, kind))
        if records:
            response.answer.extend(records)
            return
        alias = zone.rrset(name, source, dns.rdatatype.CNAME)
        if alias is None:
            break
        response.answer.append(alias)
        name = alias[0].target
        if not name.is_subdomain(zone.origin):
            return
    response.authority.append(zone.soa())


def _records(
    zone: Zone, name: dns.name.Name, source: dns.name.Name, kind: dns.rdatatype.RdataType
) -> Iterator[dns.rrset.RRset]:
    if kind != dns.rdatatype.ANY:
        found = zone.rrset(name, source, kind)
        if found is not None:
            yield found
        return
    node = zone.data.get_node(source)
    for data in node.rdatasets if node is not None else ():
        yield dns.rrset.from_rdata_list(name, data.ttl, list(data))
