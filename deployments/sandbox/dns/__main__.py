"""`python -m deployments.sandbox.dns`: both authoritative servers and the resolver, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import signal
import time
from pathlib import Path

from deployments.sandbox.dns.cache import Cache
from deployments.sandbox.dns.resolver import Resolver
from deployments.sandbox.dns.secondary import Secondary
from deployments.sandbox.dns.servers import Server
from deployments.sandbox.openstack.faults import FaultFile
from deployments.sandbox.settings import NAME_SERVERS

DOMAIN = "sandbox.example."


async def serve(home: Path, dns_port: int, resolver_port: int) -> None:
    """Answer until SIGTERM or SIGINT."""
    stopped = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stopped.set)
    faults = FaultFile(home / "faults.json")
    servers, refreshing = [], []
    for name, address in NAME_SERVERS.items():
        secondary = Secondary(home / "dns" / name, lambda name=name: faults.current().lag.get(name, 0.0))  # type: ignore[misc]
        server = Server(secondary.answer)
        await server.start(address, dns_port)
        servers.append(server)
        refreshing.append(asyncio.create_task(secondary.refresh_forever(), name=name))
    hosts = {f"{name}.{DOMAIN}": address for name, address in NAME_SERVERS.items()}
    resolver = Resolver(list(NAME_SERVERS.values()), dns_port, hosts, Cache(time.monotonic))
    front = Server(resolver.answer)
    await front.start("127.0.0.1", resolver_port)
    servers.append(front)
    # A refresh task ends by failing only: then this process has to end, too, and is started again.
    for task in refreshing:
        task.add_done_callback(lambda _: stopped.set())
    await stopped.wait()
    failed = [task for task in refreshing if task.done()]
    for task in refreshing:
        task.cancel()
    await asyncio.gather(*refreshing, return_exceptions=True)
    for server in servers:
        await server.stop()
    for task in failed:
        task.result()


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
