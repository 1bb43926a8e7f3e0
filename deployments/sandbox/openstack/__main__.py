"""`python -m deployments.sandbox.openstack SERVICE --home D --host A --port N`: one OpenStack service until SIGTERM."""

from __future__ import annotations

import argparse
import gc
import importlib
import os
import sys
from pathlib import Path

from deployments.sandbox.openstack import database
from deployments.sandbox.openstack.config import SERVICES


def main() -> None:
    """Parse the command line and serve."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.openstack", description=__doc__)
    parser.add_argument("service", choices=SERVICES)
    parser.add_argument("--home", type=Path, required=True, help="the sandbox's state folder")
    parser.add_argument("--host", required=True, help="where the API listens: an address of loopback")
    parser.add_argument("--port", type=int, required=True, help="where the API listens")
    arguments = parser.parse_args()
    os.umask(0o077)
    # A fifth of the start is looking for garbage among modules that stay; server.serve looks again.
    gc.disable()
    database.keep_connections()
    # The services read sys.argv themselves.
    sys.argv = [arguments.service]
    module = importlib.import_module(f"deployments.sandbox.openstack.{arguments.service}_service")
    module.run(arguments.home, arguments.host, arguments.port)


if __name__ == "__main__":
    main()
