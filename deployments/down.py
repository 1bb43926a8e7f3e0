"""`make down` and `make clean`: stop what `make up` started; forget its state when asked to."""

from __future__ import annotations

import argparse
import subprocess
import sys

from rich.console import Console

from deployments.prefect_server import LocalPrefect
from deployments.sandbox.settings import get_sandbox_settings
from deployments.settings import get_prefect_settings
from infra.settings import ROOT


def main() -> int:
    """Stop worker, server and sandbox; with --forget also remove the state folder."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--forget", action="store_true", help="also remove all state")
    forget = parser.parse_args().forget
    console, settings, home = Console(highlight=False), get_prefect_settings(), get_sandbox_settings().home
    for name in LocalPrefect(settings, settings.home(home)).stop():
        console.print(f"{name} stopped.")
    command = "reset" if forget else "down"
    return subprocess.run([sys.executable, "-m", "deployments.sandbox", command], cwd=ROOT, check=False).returncode


if __name__ == "__main__":
    sys.exit(main())
