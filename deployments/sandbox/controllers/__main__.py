"""`python -m deployments.sandbox.controllers`: the controllers of one cluster, until SIGTERM."""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from deployments.sandbox.controllers.app import Options, run
from deployments.sandbox.controllers.lifetime import until_stopped
from deployments.sandbox.settings import SandboxSettings


async def serve(options: Options, parent: int | None) -> None:
    """Run the controllers until told to stop; an error that ends them is raised."""
    async with until_stopped(parent) as stopped:
        work = asyncio.create_task(run(options))
        work.add_done_callback(lambda _: stopped.set())
        await stopped.wait()
        work.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await work


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.controllers", description=__doc__)
    parser.add_argument("--cluster-home", type=Path, required=True, help="folder with cluster.json")
    parser.add_argument("--kubeconfig", type=Path, required=True, help="of the cluster's administrator")
    parser.add_argument("--sandbox-home", type=Path, required=True, help="the sandbox's state folder")
    parser.add_argument("--parent", type=int, help="end when this process ends")
    options = parser.parse_args(argv)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s %(message)s")
    chosen = Options(
        cluster_home=options.cluster_home.absolute(),
        kubeconfig=options.kubeconfig.absolute(),
        sandbox_home=options.sandbox_home.absolute(),
        settings=SandboxSettings(home=options.sandbox_home.absolute()),
    )
    asyncio.run(serve(chosen, options.parent))
    return 0


if __name__ == "__main__":
    sys.exit(main())
