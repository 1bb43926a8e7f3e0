"""`python -m deployments.sandbox.kubernetes --home DIR --port P`: one cluster's API server until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import logging
import signal
import ssl
from pathlib import Path

from aiohttp import web

from deployments.sandbox.kubernetes.bodies import MAX_BODY
from deployments.sandbox.kubernetes.middleware import Edge
from deployments.sandbox.kubernetes.server import ApiServer
from deployments.sandbox.openstack.faults import FaultFile
from deployments.sandbox.openstack.middleware import RequestLog


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.kubernetes", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="the cluster's folder: ca.crt, server.crt, server.key")
    parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default 127.0.0.1)")
    parser.add_argument("--port", type=int, required=True, help="port to listen on")
    parser.add_argument("--version", default="v1.33.4", help="Kubernetes version to report (default v1.33.4)")
    parser.add_argument("--faults", type=Path, help="faults.json, read again when it changes")
    parser.add_argument("--request-log", type=Path, help="file that gets one JSON line a request")
    return parser.parse_args()


def tls(home: Path) -> ssl.SSLContext:
    """TLS with the cluster's server certificate; client certificates are those the cluster's CA signed."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "server.crt", home / "server.key")
    context.load_verify_locations(home / "ca.crt")
    context.verify_mode = ssl.CERT_OPTIONAL
    return context


def cluster_name(home: Path) -> str:
    """The name under which requests are logged."""
    described = home / "cluster.json"
    if described.exists():
        return str(json.loads(described.read_text()).get("name") or home.name)
    return home.name


async def serve(options: argparse.Namespace) -> None:
    """Serve until SIGTERM or SIGINT."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    home = options.home
    server = ApiServer(
        home / "db.sqlite",
        version=options.version,
        ca=(home / "ca.crt").read_text(),
        address=f"{options.host}:{options.port}",
    )
    log = RequestLog(options.request_log, f"kubernetes/{cluster_name(home)}") if options.request_log else None
    faults = FaultFile(options.faults, "kubernetes") if options.faults else None
    application = web.Application(client_max_size=MAX_BODY + 1, middlewares=[Edge(log, faults)])
    application.router.add_route("*", "/{path:.*}", server.handle)
    async with server.running():
        # What is loaded now stays: the collector need not walk it again and again.
        gc.freeze()
        runner = web.AppRunner(application, access_log=None, handle_signals=False, shutdown_timeout=2.0)
        await runner.setup()
        try:
            await web.TCPSite(runner, options.host, options.port, ssl_context=tls(home), reuse_address=True).start()
            await stop.wait()
        finally:
            server.stopping.set()
            await runner.cleanup()


def main() -> None:
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    asyncio.run(serve(arguments()))


if __name__ == "__main__":
    main()
