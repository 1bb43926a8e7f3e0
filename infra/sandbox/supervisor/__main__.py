"""`python -m infra.sandbox.supervisor`: the daemon in the foreground; `python -m infra.sandbox up` starts it."""

from __future__ import annotations

import asyncio
import logging
import os
import sys

from infra.clients.errors import PlumblineError
from infra.sandbox.layout import Layout
from infra.sandbox.settings import get_sandbox_settings
from infra.sandbox.supervisor.daemon import Supervisor, only_one


def main() -> int:
    """Run until SIGTERM."""
    os.umask(0o077)
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(levelname)s %(message)s")
    settings = get_sandbox_settings()
    try:
        with only_one(Layout(settings.home.absolute()).lock):
            asyncio.run(Supervisor(settings).run())
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
