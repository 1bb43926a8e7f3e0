"""Questions to real (small) name servers on loopback."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from typing import Any

import dns.flags
import dns.message
import dns.rcode
import dns.rrset
import pytest

from infra.clients.dns import DnsClient, endpoint, normal
from infra.clients.errors import InvalidInput, Misconfigured, NotYet, Unavailable

SOA = "ns1.dev.example. host.dev.example. 7 3600 600 86400 120"
Zone = dict[tuple[str, str], list[str]]
ZONE: Zone = {
    ("dev.example.", "SOA"): [SOA],
    ("*.dev.example.", "A"): ["10.0.0.1"],
    ("t.dev.example.", "TXT"): ['"hello" "world"'],
}


class NameServer:
    """Answers from a zone over UDP, and over TCP where UDP only says "truncated"."""

    def __init__(self, zone: Zone, *, rcode: int = 0, truncate: bool = False, silent: int = 0) -> None:
        self.zone, self.rcode, self.truncate, self.silent = zone, rcode, truncate, silent
        self.asked: list[str] = []
        self.udp = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self.tcp = socket.create_server(("127.0.0.1", 0))
        self.port = self.tcp.getsockname()[1]
        self.udp.bind(("127.0.0.1", self.port))
        self.threads = [threading.Thread(target=target) for target in (self._udp, self._tcp)]
        for thread in self.threads:
            thread.start()

    def answer(self, wire: bytes, *, short: bool) -> bytes:
        query = dns.message.from_wire(wire)
        question = query.question[0]
        name, kind = question.name.to_text(), dns.rdatatype.to_text(question.rdtype)
        self.asked.append(f"{name} {kind}")
        reply = dns.message.make_response(query)
        reply.flags |= dns.flags.AA
        reply.set_rcode(dns.rcode.Rcode(self.rcode))
        records = self.zone.get((name, kind))
        if short:
            reply.flags |= dns.flags.TC
        elif records:
            reply.answer.append(dns.rrset.from_text(name, 300, "IN", kind, *records))
        elif not self.rcode and not any(known == name for known, _ in self.zone):
            reply.set_rcode(dns.rcode.NXDOMAIN)
        return reply.to_wire()

    def _udp(self) -> None:
        while True:
            wire, peer = self.udp.recvfrom(4096)
            if not wire:
                return
            if self.silent:
                self.silent -= 1
                continue
            self.udp.sendto(self.answer(wire, short=self.truncate), peer)

    def _tcp(self) -> None:
        while True:
            connection, _ = self.tcp.accept()
            with connection:
                size = int.from_bytes(connection.recv(2), "big")
                if not size:
                    return
                wire = self.answer(connection.recv(size), short=False)
                connection.sendall(len(wire).to_bytes(2, "big") + wire)

    def close(self) -> None:
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as end:
            end.sendto(b"", ("127.0.0.1", self.port))
        socket.create_connection(("127.0.0.1", self.port)).close()
        for thread in self.threads:
            thread.join()
        self.udp.close()
        self.tcp.close()


@pytest.fixture
def server() -> Iterator[Callable[..., NameServer]]:
    servers: list[NameServer] = []

    def make(*arguments: Any, **options: Any) -> NameServer:
        servers.append(NameServer(*arguments, **options))
        return servers[-1]

    yield make
    for item in servers:
        item.close()


def client(settings: Any, server: NameServer, *resolvers: str) -> DnsClient:
    return DnsClient(resolvers, server.port, settings=settings, timeout=0.2)


async def test_answers_with_the_serial_and_what_is_not_there(server: Any, settings: Any) -> None:
    names = client(settings, server(ZONE))
    (found,) = await names.ask("127.0.0.1", "*.dev.example", "A", zone="dev.example.")
    assert (found.outcome, found.records, found.ttl, found.serial) == ("answer", ("10.0.0.1",), 300, 7)
    assert [(await names.ask("127.0.0.1", name, "AAAA"))[0].outcome for name in ("*.dev.example", "no.example")] == [
        "nodata",
        "nxdomain",
    ]
    assert await names.negative_ttl("dev.example.", ["127.0.0.1"]) == 120


@pytest.mark.parametrize(("code", "outcome"), [(5, "refused"), (2, "servfail"), (9, "lame")])
async def test_servers_that_do_not_serve(server: Any, settings: Any, code: int, outcome: str) -> None:
    names = client(settings, server({}, rcode=code))
    (found,) = await names.ask("127.0.0.1", "x.dev.example", "A")
    assert found.outcome == outcome
    with pytest.raises(Unavailable):
        await names.negative_ttl("dev.example.", ["127.0.0.1"])


async def test_truncated_answers_are_asked_for_over_tcp(server: Any, settings: Any) -> None:
    names = client(settings, server(ZONE, truncate=True))
    (found,) = await names.ask("127.0.0.1", "*.dev.example.", "A")
    assert found.records == ("10.0.0.1",)


async def test_a_lost_packet_is_asked_again_and_a_silent_server_is_called_silent(server: Any, settings: Any) -> None:
    lossy = client(settings, server(ZONE, silent=1))
    assert (await lossy.ask("127.0.0.1", "*.dev.example.", "A"))[0].outcome == "answer"
    silent = client(settings, server(ZONE, silent=9))
    (found,) = await silent.ask("127.0.0.1", "*.dev.example.", "A", zone="dev.example.")
    assert (found.outcome, found.serial) == ("silent", None)


async def test_propagated_names_the_server_that_lags(server: Any, settings: Any) -> None:
    zone: Zone = {**ZONE, ("ns1.dev.example.", "A"): ["127.0.0.1"], ("ns2.dev.example.", "A"): ["127.0.0.9"]}
    one = server(zone)
    names = client(settings, one, f"127.0.0.1:{one.port}")
    agreed = await names.propagated("*.dev.example.", "A", ["10.0.0.1"], ["ns1.dev.example."], zone="dev.example.")
    assert [answer.serial for answer in agreed] == [7]
    with pytest.raises(NotYet, match=r"1 of 2 name servers lag.*ns2\.dev\.example\. \(127\.0\.0\.9\): silent"):
        await names.propagated("*.dev.example.", "A", ["10.0.0.1"], ["ns1.dev.example.", "ns2.dev.example."])
    with pytest.raises(NotYet, match=r"10\.0\.0\.1"):
        await names.propagated("*.dev.example.", "A", ["10.0.0.2"], ["ns1.dev.example."])
    with pytest.raises(NotYet, match="unknown"):
        await names.propagated("*.dev.example.", "A", ["10.0.0.1"], ["unknown.dev.example."])
    await names.propagated("gone.dev.example.", "A", [], ["ns1.dev.example."])
    await names.propagated("t.dev.example.", "TXT", ['"hello" "world"'], ["127.0.0.1"])
    with pytest.raises(InvalidInput):
        await names.propagated("x.dev.example.", "A", [], [])
    assert one.asked.count("ns1.dev.example. A") == 1


async def test_resolvers_are_asked_by_themselves(server: Any, settings: Any) -> None:
    one = server(ZONE)
    names = client(settings, one, f"127.0.0.1:{one.port}")
    (found,) = await names.resolve("*.dev.example.", "A")
    assert found.records == ("10.0.0.1",)
    away = client(settings, server({}, rcode=5), f"127.0.0.1:{server({}, rcode=5).port}")
    with pytest.raises(Unavailable, match="resolvers"):
        await away.addresses("ns1.dev.example.")


def test_endpoints_and_records() -> None:
    assert endpoint("10.0.0.1") == ("10.0.0.1", 53)
    assert endpoint("10.0.0.1:5353") == ("10.0.0.1", 5353)
    assert endpoint("[::1]:54") == ("::1", 54)
    assert endpoint("::1") == ("::1", 53)
    for wrong in ("resolver.example", "10.0.0.1:x", "10.0.0.1:0"):
        with pytest.raises(Misconfigured, match="PLUMBLINE_DNS_RESOLVERS"):
            endpoint(wrong)
    assert normal("NS1.Example.org", "NS") == "ns1.example.org."
    with pytest.raises(InvalidInput):
        normal("not an address", "A")
