"""`python -m deployments.sandbox.dns`: both authoritative servers and the resolver, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import os
import time
from pathlib import Path

from deployments.sandbox.controllers.lifetime import until_stopped
from deployments.sandbox.dns.cache import Cache
from deployments.sandbox.dns.resolver import Resolver
from deployments.sandbox.dns.secondary import Secondary
from deployments.sandbox.dns.servers import Server
from deployments.sandbox.openstack.faults import FaultFile
from deployments.sandbox.settings import NAME_SERVERS

DOMAIN = "sandbox.example."


async def serve(home: Path, dns_port: int, resolver_port: int) -> None:
    """Answer until SIGTERM or SIGINT."""
    faults = FaultFile(home / "faults.json")
    servers, secondaries = [], []
    for name, address in NAME_SERVERS.items():
        secondary = Secondary(home / "dns" / name, lambda name=name: faults.current().lag.get(name, 0.0))  # type: ignore[misc]
        secondaries.append(secondary)
        servers.append(Server(secondary.answer))
        await servers[-1].start(address, dns_port)
    hosts = {f"{name}.{DOMAIN}": address for name, address in NAME_SERVERS.items()}
    resolver = Resolver(list(NAME_SERVERS.values()), dns_port, hosts, Cache(time.monotonic))
    servers.append(Server(resolver.answer))
    await servers[-1].start("127.0.0.1", resolver_port)
    async with until_stopped() as stopped:
        # Refreshing ends by failing only: then this process has to end, too, and is started again.
        refreshing = asyncio.gather(*(secondary.refresh_forever() for secondary in secondaries))
        refreshing.add_done_callback(lambda _: stopped.set())
        await stopped.wait()
        refreshing.cancel()
        for server in servers:
            await server.stop()
        with contextlib.suppress(asyncio.CancelledError):
            await refreshing


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.dns", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's state folder")
    parser.add_argument("--dns-port", type=int, required=True, help="port of both authoritative servers")
    parser.add_argument("--resolver-port", type=int, required=True, help="port of the caching resolver")
    arguments = parser.parse_args()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    asyncio.run(serve(arguments.home, arguments.dns_port, arguments.resolver_port))


if __name__ == "__main__":
    main()
