"""`make bench-fleet`: a fleet of recorded environments swept by one worker, and what Prefect adds to a check.

One environment is made in a sandbox of the bench's own and recorded; then the sandbox is stopped, and the recording
plays the outside world of a hundred of them. The same looks are made by `check-fleet` and without Prefect, in turns.
It says whether targets are met; it fails only when something does not work, such as a verdict that is not right.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import httpx
from rich.console import Console

from deployments.bench import machine
from deployments.bench_fleet_figures import FLEET, FleetFigures, Process, surprises
from deployments.bench_fleet_home import FleetHome
from deployments.bench_fleet_replay import COUNT
from deployments.bench_fleet_stencil import Recording, identities
from deployments.bench_platform import BenchPlatform, Ended, Place, platform
from deployments.prerequisites import check_prerequisites
from deployments.sandbox.settings import OFFSETS, SandboxSettings
from infra.clients.errors import Failed, Misconfigured, PlumblineError
from infra.settings import ROOT, get_settings

RECORDED = "fleet-000"
OBJECTS = 200
CHECKS = 5
"""Of one environment, each kind."""


class Fleet:
    """The recorded fleet while its outside world is played: runs processes over it, and measures them."""

    def __init__(self, running: BenchPlatform, home: FleetHome, url: str, drifted: str) -> None:
        self._running, self._home, self._url, self._drifted = running, home, url, drifted

    def sweep(self) -> Process:
        """`check-fleet`, as its user starts it."""
        ended, requests = self._run("flows.check_fleet", "--json", accept=2)
        fleet = json.loads(ended.out)
        if fleet["failed"] or fleet["strays"]:
            raise Failed("The sweep failed on some, or found strays.", detail=str(fleet["failed"] or fleet["strays"]))
        self._right(fleet["verdicts"])
        return self._measured(ended, fleet["seconds"], requests, "check fleet")

    def plain(self) -> Process:
        """The same without Prefect."""
        ended, requests = self._run("deployments.bench_fleet_looks", "fleet")
        said = json.loads(ended.out)
        self._right(said["verdicts"])
        return self._measured(ended, said["seconds"], requests)

    def check(self, name: str) -> Process:
        """One environment by `check-drift`, timed within its process."""
        return self._looked("flow", name, f"check {name}")

    def plain_check(self, name: str) -> Process:
        """The same without Prefect."""
        return self._looked("plain", name)

    def command(self, name: str) -> float:
        """Wall seconds of `check-drift` as its user starts it."""
        return self._run("flows.check_drift", name, "--json")[0].wall

    def _looked(self, what: str, name: str, flow_run_name: str | None = None) -> Process:
        ended, requests = self._run("deployments.bench_fleet_looks", what, name)
        said = json.loads(ended.out)
        measured = self._measured(ended, said["seconds"], requests, flow_run_name)
        return measured.model_copy(update={"again": said["again"]})

    def _run(self, module: str, *arguments: str, accept: int = 0) -> tuple[Ended, int]:
        before = self._answered()
        ended = self._running.command(module, *arguments, **self._home.variables())
        if ended.status != accept:
            raise Failed(f"{module} {' '.join(arguments)} ended with {ended.status}; its log is {ended.log}.")
        return ended, self._answered() - before

    def _answered(self) -> int:
        said = httpx.get(f"{self._url}{COUNT}", timeout=30).json()
        if said["unknown"]:
            raise Failed("The recording has no answer to what was asked.", detail="; ".join(said["unknown"][:5]))
        return int(said["answered"])

    def _right(self, verdicts: Sequence[Mapping[str, Any]]) -> None:
        wrong = surprises(verdicts, self._drifted)
        if wrong:
            raise Failed("The verdicts are not right, so that their time says nothing.", detail="; ".join(wrong[:5]))

    def _measured(self, ended: Ended, seconds: float, requests: int, flow_run_name: str | None = None) -> Process:
        tasks, events = self._running.counts(flow_run_name) if flow_run_name else (0, 0)
        return Process(wall=ended.wall, seconds=seconds, cpu=ended.seen.cpu, peak_mib=ended.seen.peak_kib / 1024,
                       requests=requests, tasks=tasks, events=events)  # fmt: skip


@contextmanager
def recorded(options: argparse.Namespace, console: Console) -> Iterator[tuple[Fleet, FleetFigures]]:
    """The fleet with its outside world, from nothing."""
    place = Place(options.home.absolute(), options.port_base, str(options.network))
    with platform(place) as running:
        console.print("Making the environment that is recorded …")
        running.declare(RECORDED)
        running.flow("create_environment", RECORDED)
        running.deploy()
        folder = place.home / "fleet"
        made = running.command(
            "deployments.bench_fleet_record", RECORDED, str(folder / "recording.json"), "--objects", str(OBJECTS)
        )
        if made.status:
            raise Failed("The environment could not be recorded.", detail=made.log.read_text()[-800:])
        running.stop_sandbox()
        recording = Recording.model_validate_json((folder / "recording.json").read_text())
        fleet = identities(recording, options.environments, options.network)
        home = FleetHome(folder, recording, fleet)
        home.make(place.home / "state/charts", place.home / "ca")
        drifted = fleet[-1].name
        with _outside(folder, options, drifted):
            figures = FleetFigures(environments=len(fleet), objects=recording.objects, machine=machine())
            yield Fleet(running, home, f"http://127.0.0.1:{place.port_base}", drifted), figures


@contextmanager
def _outside(folder: Path, options: argparse.Namespace, drifted: str) -> Iterator[None]:
    """Play the outside world in a process of its own."""
    ports = {name: options.port_base + OFFSETS[name] for name in ("dns", "resolver")}
    argv = [sys.executable, "-m", "deployments.bench_fleet_replay", str(folder), "--drifted", drifted]
    argv += ["--count", str(options.environments), "--network", str(options.network)]
    argv += ["--https-port", str(SandboxSettings().ingress_https_port)]
    argv += ["--dns-port", str(ports["dns"]), "--resolver-port", str(ports["resolver"])]
    log = folder / "replay.log"
    with log.open("wb") as stderr, subprocess.Popen(argv, cwd=ROOT, stdout=subprocess.PIPE, stderr=stderr) as process:
        try:
            if process.stdout is None or not process.stdout.readline():
                raise Failed("The recording cannot be played.", detail=log.read_text()[-800:])
            yield
        finally:
            process.terminate()


def measure(fleet: Fleet, figures: FleetFigures, name: str, count: int) -> Iterator[FleetFigures]:
    """Check one environment, then sweep, each with and without Prefect in turns; yields the figures of each round."""
    # First, while Prefect's server has nothing else to do: it digests a sweep's events for some time.
    fleet.check(name)
    for _ in range(CHECKS):
        figures.plain_checks.append(fleet.plain_check(name))
        figures.checks.append(fleet.check(name))
        figures.commands.append(fleet.command(name))
    figures.first = fleet.sweep()
    fleet.plain()
    for number in range(count):
        turns = [(figures.sweeps, fleet.sweep), (figures.plain, fleet.plain)]
        for figure, turn in turns if number % 2 else reversed(turns):
            figure.append(turn())
        yield figures


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; exit status 1 when something did not work."""
    options = _options(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    figures: FleetFigures | None = None
    try:
        check_prerequisites(get_settings().terraform_binary)
        if options.home.exists():
            raise Misconfigured(f"{options.home} is there already.", hint="Remove it, or name another with --home.")
        try:
            with recorded(options, console) as (fleet, empty):
                console.print(f"Sweeping {options.environments} environments …")
                for figures in measure(fleet, empty, f"{RECORDED[:-1]}1", options.n):
                    ours, theirs = figures.sweeps[-1].wall, figures.plain[-1].wall
                    console.print(f"{len(figures.sweeps)} of {options.n}: {ours:.1f} s, without Prefect {theirs:.1f} s")
                    if options.json is not None:
                        options.json.write_text(json.dumps(figures.document(), indent=2) + "\n")
        finally:
            if options.home.exists() and not options.keep:
                shutil.rmtree(options.home)
    except PlumblineError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    if figures is not None:
        Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(figures.table())
    return 0


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.bench_fleet", description=__doc__)
    parser.add_argument("-n", type=int, default=3, help="sweeps of each kind (default 3)")
    parser.add_argument("--environments", type=int, default=FLEET, help=f"how many (default {FLEET})")
    parser.add_argument("--json", type=Path, metavar="FILE", help="also write every figure there")
    parser.add_argument("--keep", action="store_true", help="keep the bench's folder, with its logs")
    home = ROOT / "build/bench-fleet"
    parser.add_argument("--home", type=Path, default=home, help="the bench's folder, made and removed")
    parser.add_argument("--port-base", type=int, default=32000, help="first of a hundred ports (default 32000)")
    network = IPv4Network("127.85.0.0/16")
    parser.add_argument("--network", type=IPv4Network, default=network, help="addresses on loopback, a /16")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
