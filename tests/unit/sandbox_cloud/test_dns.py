"""Authoritative answers, the cache, the resolver and the secondary, without a network but loopback."""

from __future__ import annotations

import asyncio
import json
import random
from pathlib import Path

import dns.asyncquery
import dns.exception
import dns.flags
import dns.message
import dns.name
import dns.opcode
import dns.rcode
import dns.rdatatype
import dns.zone
import pytest

from deployments.sandbox.dns.answers import Zone, respond
from deployments.sandbox.dns.cache import NEGATIVE_LIMIT, Cache, lifetime
from deployments.sandbox.dns.resolver import Resolver
from deployments.sandbox.dns.secondary import Secondary
from deployments.sandbox.dns.servers import Server

TEXT = """
$TTL 300
@ 600 IN SOA ns1 hostmaster 7 3600 600 86400 120
@ IN NS ns1
@ IN NS ns2
*.wild IN A 192.0.2.1
*.wild IN TXT "any"
host.sub.wild IN A 192.0.2.2
alias IN CNAME target
target IN A 192.0.2.3
*.aliases IN CNAME target
away IN CNAME www.elsewhere.example.
loop1 IN CNAME loop2
loop2 IN CNAME loop1
deep.empty IN A 192.0.2.4
delegated IN NS ns.other.example.
"""
ORIGIN = dns.name.from_text("z.example.")
ZONES = {ORIGIN: Zone(dns.zone.from_text(TEXT, origin=ORIGIN, relativize=False))}


def answer(name: str, kind: str = "A") -> dns.message.Message:
    return respond(dns.message.make_query(name, kind), ZONES)


def summary(name: str, kind: str = "A") -> tuple[str, list[str]]:
    response = answer(name, kind)
    return dns.rcode.to_text(response.rcode()), [str(item) for rrset in response.answer for item in rrset]


@pytest.mark.parametrize(
    ("name", "kind", "expected"),
    [
        ("target.z.example.", "A", ("NOERROR", ["192.0.2.3"])),
        ("TARGET.z.example.", "A", ("NOERROR", ["192.0.2.3"])),
        ("target.z.example.", "AAAA", ("NOERROR", [])),
        ("none.z.example.", "A", ("NXDOMAIN", [])),
        ("x.wild.z.example.", "A", ("NOERROR", ["192.0.2.1"])),
        ("a.b.wild.z.example.", "A", ("NOERROR", ["192.0.2.1"])),
        ("x.wild.z.example.", "AAAA", ("NOERROR", [])),
        # An existing name below the wildcard's parent hides the wildcard (RFC 4592 section 2.2.1).
        ("host.sub.wild.z.example.", "A", ("NOERROR", ["192.0.2.2"])),
        ("other.sub.wild.z.example.", "A", ("NXDOMAIN", [])),
        ("sub.wild.z.example.", "A", ("NOERROR", [])),
        ("wild.z.example.", "A", ("NOERROR", [])),
        ("empty.z.example.", "A", ("NOERROR", [])),
        ("alias.z.example.", "A", ("NOERROR", ["target.z.example.", "192.0.2.3"])),
        ("alias.z.example.", "CNAME", ("NOERROR", ["target.z.example."])),
        ("x.aliases.z.example.", "A", ("NOERROR", ["target.z.example.", "192.0.2.3"])),
        ("away.z.example.", "A", ("NOERROR", ["www.elsewhere.example."])),
        ("elsewhere.example.", "A", ("REFUSED", [])),
    ],
)
def test_answers(name: str, kind: str, expected: tuple[str, list[str]]) -> None:
    assert summary(name, kind) == expected


def test_answers_are_authoritative_and_denials_carry_the_soa() -> None:
    for name in ("target.z.example.", "none.z.example.", "empty.z.example."):
        assert answer(name).flags & dns.flags.AA
    assert [rrset.rdtype for rrset in answer("none.z.example.").authority] == [dns.rdatatype.SOA]
    assert not answer("elsewhere.example.").flags & dns.flags.AA


def test_a_wildcards_answer_bears_the_name_that_was_asked_for() -> None:
    assert answer("x.wild.z.example.").answer[0].name == dns.name.from_text("x.wild.z.example.")


def test_delegations_are_referrals() -> None:
    response = answer("www.delegated.z.example.")
    assert not response.flags & dns.flags.AA
    assert [str(item) for item in response.authority[0]] == ["ns.other.example."]


def test_any_gives_all_and_a_loop_ends() -> None:
    assert {rrset.rdtype for rrset in answer("x.wild.z.example.", "ANY").answer} == {
        dns.rdatatype.A,
        dns.rdatatype.TXT,
    }
    assert len(answer("loop1.z.example.").answer) <= 16
    assert ZONES[ORIGIN].serial == 7


def test_a_query_without_a_question_is_malformed() -> None:
    query = dns.message.make_query("x.", "A")
    query.question = []
    assert respond(query, ZONES).rcode() == dns.rcode.FORMERR


def test_lifetimes() -> None:
    assert lifetime(answer("target.z.example.")) == 300
    # The lesser of the SOA's TTL, 600, and its minimum, 120 (RFC 2308 section 5).
    assert lifetime(answer("none.z.example.")) == 120
    assert lifetime(answer("target.z.example.", "AAAA")) == 120
    assert lifetime(answer("elsewhere.example.")) is None
    bare = answer("none.z.example.")
    bare.authority = []
    assert lifetime(bare) is None
    assert NEGATIVE_LIMIT == 3 * 3600


class Time:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def test_the_cache_counts_down_and_forgets() -> None:
    time = Time()
    cache = Cache(time, limit=2)
    keys = [
        (dns.name.from_text(name), dns.rdatatype.A)
        for name in ("target.z.example.", "none.z.example.", "x.wild.z.example.")
    ]
    for key in keys[:2]:
        cache.put(key, answer(key[0].to_text()))
    time.now = 100
    entry = cache.get(keys[0])
    assert entry is not None
    assert entry.answer[0].ttl == 200
    denied = cache.get(keys[1])
    assert denied is not None
    assert denied.rcode() == dns.rcode.NXDOMAIN
    time.now = 120
    assert cache.get(keys[1]) is None
    cache.put(keys[1], answer("none.z.example."))
    cache.put(keys[2], answer("x.wild.z.example."))
    assert cache.get(keys[0]) is None
    assert cache.get(keys[2]) is not None


class Upstream:
    """Authoritative servers as the resolver sees them; those in `down` do not answer."""

    def __init__(self) -> None:
        self.asked: list[str] = []
        self.down: set[str] = set()
        self.zones = dict(ZONES)

    async def ask(self, query: dns.message.Message, host: str, port: int) -> dns.message.Message:
        self.asked.append(host)
        if host in self.down:
            raise dns.exception.Timeout
        return respond(query, self.zones)


def resolver(upstream: Upstream, time: Time) -> Resolver:
    hosts = {"ns1.z.example.": "127.0.53.1"}
    return Resolver(["a", "b"], 53, hosts, Cache(time), ask=upstream.ask, rng=random.Random(1))


async def resolve(one: Resolver, name: str, kind: str = "A") -> tuple[str, list[str]]:
    response = await one.answer(dns.message.make_query(name, kind))
    assert response.flags & dns.flags.RA
    return dns.rcode.to_text(response.rcode()), [str(item) for rrset in response.answer for item in rrset]


async def test_the_resolver_asks_once_and_remembers_denials() -> None:
    upstream, time = Upstream(), Time()
    one = resolver(upstream, time)
    for _ in range(2):
        assert await resolve(one, "new.z.example.") == ("NXDOMAIN", [])
    assert len(upstream.asked) == 1
    more = TEXT + "new IN A 192.0.2.9\n"
    upstream.zones = {ORIGIN: Zone(dns.zone.from_text(more, origin=ORIGIN, relativize=False))}
    time.now = 119
    assert await resolve(one, "new.z.example.") == ("NXDOMAIN", [])
    time.now = 121
    assert await resolve(one, "new.z.example.") == ("NOERROR", ["192.0.2.9"])


async def test_the_resolver_takes_the_other_server_and_fails_without_any() -> None:
    upstream = Upstream()
    upstream.down = {"a"}
    one = resolver(upstream, Time())
    for number in range(8):
        assert await resolve(one, f"h{number}.wild.z.example.") == ("NOERROR", ["192.0.2.1"])
    assert set(upstream.asked) == {"a", "b"}
    upstream.down = {"a", "b"}
    assert await resolve(one, "fresh.wild.z.example.") == ("SERVFAIL", [])
    upstream.down = set()
    assert await resolve(one, "fresh.wild.z.example.") == ("NOERROR", ["192.0.2.1"])


async def test_the_resolver_follows_aliases_and_knows_its_hosts() -> None:
    one = resolver(Upstream(), Time())
    assert await resolve(one, "alias.z.example.") == ("NOERROR", ["target.z.example.", "192.0.2.3"])
    assert await resolve(one, "away.z.example.") == ("SERVFAIL", ["www.elsewhere.example."])
    assert await resolve(one, "ns1.z.example.") == ("NOERROR", ["127.0.53.1"])
    update = dns.message.Message()
    update.set_opcode(dns.opcode.STATUS)
    assert (await one.answer(update)).rcode() == dns.rcode.NOTIMP


class Primary:
    """A primary on loopback that answers SOA queries and AXFR."""

    def __init__(self) -> None:
        self.text = TEXT
        self.transfers = 0

    async def answer(self, query: dns.message.Message) -> dns.message.Message:
        zone = dns.zone.from_text(self.text, origin=ORIGIN, relativize=False)
        if query.question[0].rdtype != dns.rdatatype.AXFR:
            return respond(query, {ORIGIN: Zone(zone)})
        self.transfers += 1
        response = dns.message.make_response(query)
        soa = Zone(zone).soa()
        response.answer.append(soa)
        for name, data in zone.iterate_rdatasets():
            if data.rdtype != dns.rdatatype.SOA:
                response.answer.append(dns.rrset.from_rdata_list(name, data.ttl, list(data)))
        response.answer.append(dns.rrset.from_rdata_list(soa.name, soa.ttl, list(soa)))
        return response


def notify() -> dns.message.Message:
    message = dns.message.make_query(ORIGIN, "SOA")
    message.set_opcode(dns.opcode.NOTIFY)
    return message


async def listening(answer: object) -> tuple[Server, int]:
    server = Server(answer)  # type: ignore[arg-type]
    return server, await server.start("127.0.0.1", 0)


async def test_a_secondary_from_notify_to_restart(tmp_path: Path) -> None:
    primary = Primary()
    server, port = await listening(primary.answer)
    lag = [0.0]
    one = Secondary(tmp_path, lambda: lag[0])
    assert (await one.answer(notify())).rcode() == dns.rcode.NOTAUTH
    listed = tmp_path / "zones/z.example..json"
    listed.write_text(json.dumps({"zone": "z.example.", "masters": [{"host": "127.0.0.1", "port": port}]}))
    assert (await one.answer(notify())).rcode() == dns.rcode.NOERROR
    query = dns.message.make_query("target.z.example.", "A")
    assert str((await one.answer(query)).answer[0][0]) == "192.0.2.3"

    # Unchanged serial: no transfer. A new one: one transfer.
    assert await one.refresh(ORIGIN)
    assert primary.transfers == 1
    primary.text = TEXT.replace(" 7 ", " 8 ").replace("192.0.2.3", "192.0.2.33")
    assert await one.refresh(ORIGIN)
    assert (primary.transfers, one.zones[ORIGIN].serial) == (2, 8)

    primary.text = primary.text.replace(" 8 ", " 9 ")
    lag[0] = 0.05
    assert (await one.answer(notify())).rcode() == dns.rcode.NOERROR
    assert one.zones[ORIGIN].serial == 8
    async with asyncio.timeout(2):
        while one.zones[ORIGIN].serial != 9:  # noqa: ASYNC110 - a zone signals nothing
            await asyncio.sleep(0.01)
    await server.stop()

    # Its primary is gone: it says so, and a new process still answers what the old one knew.
    lag[0] = 0
    assert (await one.answer(notify())).rcode() == dns.rcode.SERVFAIL
    again = Secondary(tmp_path, lambda: 0.0)
    assert str((await again.answer(query)).answer[0][0]) == "192.0.2.33"
    listed.unlink()
    assert (await again.answer(query)).rcode() == dns.rcode.REFUSED
    assert list((tmp_path / "contents").iterdir()) == []


async def test_a_server_truncates_over_udp_and_not_over_tcp() -> None:
    lines = "".join(f'big IN TXT "{number:0200d}"\n' for number in range(10))
    zones = {ORIGIN: Zone(dns.zone.from_text(TEXT + lines, origin=ORIGIN, relativize=False))}

    async def reply(query: dns.message.Message) -> dns.message.Message:
        if query.question[0].name == dns.name.from_text("broken."):
            raise RuntimeError("broken")
        return respond(query, zones)

    server, port = await listening(reply)
    query = dns.message.make_query("big.z.example.", "TXT")
    short = await dns.asyncquery.udp(query, "127.0.0.1", port=port, timeout=2)
    assert short.flags & dns.flags.TC
    whole = await dns.asyncquery.tcp(query, "127.0.0.1", port=port, timeout=2)
    assert len(whole.answer[0]) == 10
    failed = await dns.asyncquery.udp(dns.message.make_query("broken.", "A"), "127.0.0.1", port=port, timeout=2)
    assert failed.rcode() == dns.rcode.SERVFAIL
    assert await server.reply(b"noise", 512) is None
    await server.stop()
