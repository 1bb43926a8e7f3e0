"""`python -m deployments.sandbox.supervisor`: the supervisor; `--detach` returns at once and leaves it running."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys

from deployments.sandbox.layout import Layout
from deployments.sandbox.settings import get_sandbox_settings
from deployments.sandbox.supervisor.daemon import Supervisor, only_one
from infra.clients.errors import PlumblineError


def main() -> int:
    """Run until SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.supervisor", description=__doc__)
    parser.add_argument("--detach", action="store_true", help="return as soon as it runs")
    arguments = parser.parse_args()
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("dulwich").setLevel(logging.WARNING)
    settings = get_sandbox_settings()
    try:
        with only_one(Layout(settings.home.absolute()).lock) as claim:
            # The lock goes with the open file, so the child has it when we return, and nobody is left to reap it.
            if arguments.detach and os.fork():
                os._exit(0)
            claim()
            asyncio.run(Supervisor(settings).run())
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
