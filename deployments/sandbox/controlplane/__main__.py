"""`python -m deployments.sandbox.controlplane`: one control plane, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.sandbox.controllers.lifetime import until_stopped
from deployments.sandbox.controlplane.plane import ControlPlane, Front
from infra.clients.errors import PlumblineError


async def serve(plane: ControlPlane, parent: int | None) -> int:
    """Run `plane` until SIGTERM, SIGINT, or the end of process `parent`; 1 where a program of it ended by itself."""
    async with until_stopped(parent) as stopped:
        with plane:
            sys.stdout.write(f"{plane.url} is ready; kubeconfig {plane.kubeconfig}\n")
            sys.stdout.flush()
            while not stopped.is_set():
                ended = plane.ended()
                if ended:
                    sys.stderr.write(f"{ended} ended; see {plane.home / 'log' / ended}.log\n")
                    return 1
                with contextlib.suppress(TimeoutError):
                    await asyncio.wait_for(stopped.wait(), 1.0)
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.controlplane", description=__doc__)
    parser.add_argument("--home", type=Path, required=True, help="its folder; state is kept there over restarts")
    parser.add_argument("--port", type=int, required=True, help="of the API server, or of the proxy before it")
    parser.add_argument("--version", help="the Kubernetes version whose minor is emulated")
    parser.add_argument("--request-log", type=Path, help="have a proxy before it, and one JSON line a request here")
    parser.add_argument("--faults", type=Path, help="what the proxy makes go wrong; default: faults.json beside --home")
    parser.add_argument("--api-port", type=int, help="of the API server behind the proxy; default: a free one")
    parser.add_argument("--name", help="the cluster's name in the request log; default: the folder's")
    parser.add_argument("--parent", type=int, help="end when this process ends")
    options = parser.parse_args(argv)
    front = None
    if options.request_log is not None:
        faults = options.faults or options.home.with_name("faults.json")
        front = Front(options.name or options.home.name, options.request_log, faults, options.api_port)
    plane = ControlPlane(options.home, port=options.port, version=options.version, front=front)
    try:
        return asyncio.run(serve(plane, options.parent))
    except PlumblineError as error:
        sys.stderr.write(f"{error}\n")
        return 1


if __name__ == "__main__":
    sys.exit(main())
