"""The outside world of a recorded fleet, in one process: OpenStack, git, API servers, ingresses and name servers.

    python -m deployments.bench_fleet_replay FOLDER …

HTTP is answered from the recording. TLS, client certificates and DNS are real: they cannot be played back.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import json
import re
import ssl
from collections.abc import Iterable, Sequence
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import dns.flags
import dns.message
import dns.zone

from deployments import bench_fleet_keys as keys
from deployments.bench_fleet_stencil import Identity, Recording, identities
from deployments.bench_fleet_world import Answer, World
from deployments.sandbox.controllers import x509
from deployments.sandbox.dns.answers import Zone, respond
from deployments.sandbox.dns.servers import Server
from deployments.sandbox.settings import NAME_SERVERS

COUNT = "/-/count"
"""Asked by the bench: how many requests there were, and those that the recording has no answer to."""


async def serve(world: World, options: argparse.Namespace, recording: Recording, fleet: Sequence[Identity]) -> None:
    """Answer until cancelled."""
    own, theirs = options.folder / "keys/clusters", options.folder / "keys/ingress"
    apis, ingresses = [one.api for one in fleet], [one.ingress for one in fleet]
    for port in sorted({heard.port for heard in recording.exchanges} - {recording.api_port}):
        await asyncio.start_server(lambda *streams: _http(world, *streams), "127.0.0.1", port)
    door = _context(own, verify=own / "ca.crt")
    await asyncio.start_server(
        lambda *streams: _http(world, *streams), apis, recording.api_port, ssl=door, backlog=1000
    )
    await asyncio.start_server(_nothing, ingresses, options.https_port, ssl=_context(theirs))
    zone = Zone(dns.zone.from_text(zone_text(recordsets(world, recording)), relativize=False, check_origin=False))
    await _names(zone, options.dns_port, options.resolver_port)
    print("listening", flush=True)
    await asyncio.Event().wait()


def recordsets(world: World, recording: Recording) -> list[dict[str, Any]]:
    """The recordsets of the whole fleet, as Designate lists them."""
    asked = re.compile(r"/zones/[^/]+/recordsets")
    heard = next(one for one in recording.exchanges if asked.search(one.target))
    answer = world.answer(heard.port, "", "GET", heard.target, b"")
    found: list[dict[str, Any]] = json.loads(answer.body)["recordsets"]
    return found


def zone_text(found: Iterable[dict[str, Any]]) -> str:
    """A zone file (RFC 1035, section 5) of recordsets and of the name servers' own addresses (pure)."""
    found = list(found)
    zone = next(one["name"] for one in found if one["type"] == "SOA")
    lines = [f"$ORIGIN {zone}"]
    for one in found:
        lines += [f"{one['name']} {one['ttl'] or 3600} IN {one['type']} {data}" for data in one["records"]]
    lines += [f"{name} 3600 IN A {address}" for name, address in NAME_SERVERS.items()]
    return "\n".join(lines) + "\n"


async def _names(zone: Zone, port: int, resolver_port: int) -> None:
    async def answer(query: dns.message.Message) -> dns.message.Message:
        return respond(query, {zone.origin: zone})

    async def resolve(query: dns.message.Message) -> dns.message.Message:
        response = respond(query, {zone.origin: zone})
        response.flags = (response.flags & ~dns.flags.AA) | dns.flags.RA
        return response

    for address in NAME_SERVERS.values():
        await Server(answer).start(address, port)
    await Server(resolve).start("127.0.0.1", resolver_port)


async def _http(world: World, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """One connection: requests one after another, as HTTP/1.1 has them."""
    address, port = writer.get_extra_info("sockname")[:2]
    with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, ssl.SSLError):
        while True:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").split("\r\n")
            method, target, _ = head[0].split(" ")
            fields = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in head[1:])}
            body = await reader.readexactly(int(fields.get("content-length", 0)))
            if target == COUNT:
                said = json.dumps({"answered": world.answered, "unknown": world.unknown})
                answer = Answer(200, {"Content-Type": "application/json"}, said.encode())
            else:
                answer = world.answer(port, address, method, target, body)
            writer.write(_wire(answer))
            await writer.drain()
    writer.close()


def _wire(answer: Answer) -> bytes:
    lines = [f"HTTP/1.1 {answer.status} Recorded", *(f"{name}: {value}" for name, value in answer.headers.items())]
    lines += [f"Content-Length: {len(answer.body)}", "", ""]
    return "\r\n".join(lines).encode("latin-1") + answer.body


async def _nothing(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """An ingress of which only the handshake is wanted."""
    writer.close()


def _context(keys: Path, *, verify: Path | None = None) -> ssl.SSLContext:
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(keys / "server.crt", keys / "server.key")
    if verify is not None:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(verify)
    return context


def main(arguments: Sequence[str] | None = None) -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m deployments.bench_fleet_replay", description=__doc__)
    parser.add_argument("folder", type=Path, help="with recording.json and the keys")
    parser.add_argument("--count", type=int, required=True, help="environments")
    parser.add_argument("--drifted", help="name of the one in which something was edited by hand")
    parser.add_argument("--network", type=IPv4Network, required=True, help="addresses on loopback, a /16")
    parser.add_argument("--https-port", type=int, required=True, help="of the ingresses")
    parser.add_argument("--dns-port", type=int, required=True, help="of the name servers")
    parser.add_argument("--resolver-port", type=int, required=True, help="of the resolver")
    options = parser.parse_args(arguments)
    recording = Recording.model_validate_json((options.folder / "recording.json").read_text())
    fleet = identities(recording, options.count, options.network)
    authority = keys.authority(options.folder / "keys/clusters")
    issuer, sign = x509.pem(authority.certificate).decode(), partial(keys.sign, authority)
    world = World(recording, fleet, authority=issuer, sign=sign, drifted=options.drifted)
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(world, options, recording, fleet))


if __name__ == "__main__":
    main()
