"""`make bench`: what creating an environment costs in the sandbox, beside a plain script of the same tools.

It measures and says whether targets are met; it fails only when something does not work. It has a sandbox and a
Prefect server of its own, so that yours is neither touched nor measured.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from ipaddress import IPv4Network
from pathlib import Path

from rich.console import Console

from deployments.bench_figures import Figures
from deployments.bench_platform import BenchPlatform, Place, platform
from deployments.prerequisites import check_prerequisites
from infra.clients.errors import Misconfigured, PlumblineError
from infra.settings import ROOT, get_settings

OURS, THEIRS = "bench", "plain"


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; exit status 1 when something did not work."""
    options = _options(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    home: Path = options.home.absolute()
    try:
        check_prerequisites(get_settings().terraform_binary)
        if shutil.which("kubectl") is None:
            raise Misconfigured("There is no kubectl on PATH; the script that the bench compares with needs it.")
        if home.exists():
            raise Misconfigured(f"{home} is there already.", hint="Remove it, or name another folder with --home.")
        try:
            with platform(Place(home, options.port_base, str(options.load_balancers))) as running:
                console.print("Warming up …")
                for figures in measure(running, options.n):
                    ours, theirs = figures.ours[-1].wall, figures.theirs[-1]
                    console.print(f"{len(figures.ours)} of {options.n}: ours {ours:.1f} s, the script {theirs:.1f} s")
                    if options.json is not None:  # after each round: a bench that is stopped has not been in vain
                        options.json.write_text(json.dumps(figures.document(), indent=2) + "\n")
        finally:
            if home.exists() and not options.keep:
                shutil.rmtree(home)
    except PlumblineError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(figures.table())
    return 0


def measure(running: BenchPlatform, count: int) -> Iterator[Figures]:
    """Create an environment with Plumbline and with the script, in turns, each time from nothing.

    Yields:
        After each round, all figures so far.
    """
    figures = Figures(machine=machine())
    running.declare(OURS, THEIRS)
    # The first run of anything also compiles, fetches charts and warms caches: measured by nobody.
    _ours(running, Figures())
    _theirs(running, Figures(), 0)
    for number in range(1, count + 1):
        turns: list[Callable[[], None]] = [partial(_ours, running, figures), partial(_theirs, running, figures, number)]
        for turn in turns if number % 2 else reversed(turns):
            turn()
        figures.import_seconds.append(running.import_seconds())
        yield figures


def _ours(running: BenchPlatform, figures: Figures) -> None:
    run = running.flow("create_environment", OURS)
    figures.ours.append(running.counted(run, f"create {OURS}"))
    figures.again.append(running.flow("create_environment", OURS))
    figures.destroyed.append(running.flow("destroy_environment", OURS, "--confirm", OURS).wall)


def _theirs(running: BenchPlatform, figures: Figures, number: int) -> None:
    scripts = running.plain(THEIRS, running.home / f"plain-{number}")
    figures.theirs.append(running.script(scripts.create))
    running.script(scripts.destroy)


def machine() -> dict[str, str]:
    """What the figures were measured on."""
    terraform = subprocess.run(
        [get_settings().terraform_binary, "version"], capture_output=True, text=True, timeout=60, check=False
    )
    load = " ".join(f"{value:.1f}" for value in os.getloadavg())
    return {
        "cores": str(os.cpu_count()),
        "load at the beginning": load,
        "python": sys.version.split()[0],
        "terraform": terraform.stdout.partition("\n")[0],
    }


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.bench", description=__doc__)
    parser.add_argument("-n", type=_positive, default=3, help="runs of each kind (default 3)")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--keep", action="store_true", help="keep the bench's folder, with its logs")
    parser.add_argument("--home", type=Path, default=ROOT / "build/bench", help="the bench's folder, made and removed")
    parser.add_argument("--port-base", type=int, default=31000, help="first of a hundred ports (default 31000)")
    parser.add_argument(
        "--load-balancers", type=IPv4Network, default=IPv4Network("127.84.0.0/16"), help="addresses on loopback"
    )
    return parser.parse_args(arguments)


def _positive(text: str) -> int:
    number = int(text)
    if number < 1:
        raise argparse.ArgumentTypeError("at least 1")
    return number


if __name__ == "__main__":
    sys.exit(main())
