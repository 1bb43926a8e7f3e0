"""`python -m deployments.sandbox.upstream`: build upstream's programs, say where they are, pin other versions."""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence

from deployments.sandbox.upstream import build
from deployments.sandbox.upstream.pins import pin
from infra.clients.errors import PlumblineError


def main(argv: Sequence[str] | None = None) -> int:
    """The command line."""
    parser = argparse.ArgumentParser(prog="python -m deployments.sandbox.upstream", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")
    commands.add_parser("build", help="build what is missing, and print the folders")
    pinning = commands.add_parser("pin", help="pin other versions in go.mod and go.sum, to be committed")
    pinning.add_argument("module", nargs="+", help="MODULE@VERSION, such as k8s.io/kubernetes@v1.36.4")
    options = parser.parse_args(argv)
    try:
        if options.command == "pin":
            pin(build.UPSTREAM, options.module)
        else:
            for module in build.MODULES:
                print(build.ensure(module, say=build.tell))
    except (PlumblineError, subprocess.CalledProcessError) as error:
        build.tell(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
