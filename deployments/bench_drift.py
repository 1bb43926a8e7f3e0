"""`make bench-drift`: what checking objects for drift costs, beside `kubectl diff --server-side` on the same manifests.

On a real API server behind the sandbox's front proxy, which counts requests: once on loopback, once with 20 ms added
to each of them, which is how far away an API server usually is. Both are measured as whole processes, in turns.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import median
from typing import Any

import yaml
from rich.console import Console
from rich.table import Table

from deployments.bench_objects import NAMESPACE, objects
from deployments.sandbox.controlplane.plane import ControlPlane, Front
from deployments.sandbox.upstream import build
from infra.clients.errors import Failed, PlumblineError
from infra.clients.kubernetes import KubernetesClient
from infra.settings import ROOT, Settings

PORT = 31800
DELAY = 20.0
"""Milliseconds that a request takes longer from far away."""
FAR = {"service": "*", "kinds": ["latency"], "latency_ms": DELAY}
SIDE_BY_SIDE = 16


@dataclass(frozen=True)
class Run:
    """One process that compared everything."""

    wall: float
    look: float | None
    """Seconds of the look itself; of kubectl, the process is the look."""
    requests: int
    peak_mib: float


@dataclass(frozen=True)
class Row:
    """Runs at so many objects, in turns."""

    count: int
    where: str
    ours: Sequence[Run]
    theirs: Sequence[Run]
    rate: float
    """Objects a second that the comparison alone gets through, on one core."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the bench; exit status 1 when something did not work."""
    options = _options(arguments)
    console = Console(stderr=True, highlight=False, soft_wrap=True)
    for module in build.MODULES:
        build.ensure(module, say=build.tell)
    try:
        rows = list(_measure(options, console))
    except PlumblineError as error:
        console.print(str(error), style="red", markup=False)
        return 1
    Console(highlight=False, width=None if sys.stdout.isatty() else 120).print(table(rows))
    return 0


def _measure(options: argparse.Namespace, console: Console) -> Iterator[Row]:
    for count in options.objects:
        with tempfile.TemporaryDirectory() as folder:
            log, faults = Path(folder) / "requests.jsonl", Path(folder) / "faults.json"
            front = Front("bench", log, faults)
            with ControlPlane(Path(folder) / "home", port=PORT, front=front, nodes=False) as plane:
                declared = list(objects(count))
                manifests = Path(folder) / "manifests.yaml"
                manifests.write_text(yaml.dump_all(declared, Dumper=yaml.CSafeDumper))
                console.print(f"{count} objects: creating …")
                asyncio.run(_create(plane.kubeconfig, declared))
                for where, rules in (("loopback", []), (f"{DELAY:g} ms away", [FAR])):
                    faults.write_text(json.dumps({"rules": rules}))
                    ours, theirs = [], []
                    for _ in range(options.n):
                        ours.append(_ours(manifests, plane.kubeconfig, log))
                        theirs.append(_theirs(manifests, plane.kubeconfig, log))
                    # The comparison alone is measured apart: it would count as part of the process.
                    rate = _look(manifests, plane.kubeconfig, "--rate")["rate"]
                    console.print(f"  {where}: ours {ours[-1].wall:.2f} s, kubectl diff {theirs[-1].wall:.2f} s")
                    yield Row(count, where, ours, theirs, rate)


def _ours(manifests: Path, kubeconfig: Path, log: Path) -> Run:
    before, began = _requests(log, "plumbline/"), time.monotonic()
    said = _look(manifests, kubeconfig)
    wall = time.monotonic() - began
    return Run(wall, said["seconds"], _requests(log, "plumbline/") - before, said["peak_mib"])


def _look(manifests: Path, kubeconfig: Path, *options: str) -> dict[str, Any]:
    """What a look of ours, a process of its own, says that it took."""
    argv = [sys.executable, "-m", "deployments.bench_look", str(manifests), str(kubeconfig), *options]
    done = subprocess.run(argv, cwd=ROOT, capture_output=True, text=True, check=False, timeout=900)
    if done.returncode:
        raise Failed("Our look did not work.", detail=done.stderr[-400:])
    said: dict[str, Any] = json.loads(done.stdout)
    if said["findings"] or said["blind_spots"]:
        raise Failed("Our look found drift where there is none.", detail=str(said))
    return said


def _theirs(manifests: Path, kubeconfig: Path, log: Path) -> Run:
    kubectl = [str(build.program("kubectl")), f"--kubeconfig={kubeconfig}", "diff", "--server-side"]
    command = ["/usr/bin/time", "-f", "%M", *kubectl, "--force-conflicts", "-f", str(manifests)]
    environment = {**os.environ, "KUBECTL_EXTERNAL_DIFF": "diff -u -N"}
    before, began = _requests(log, "kubectl/"), time.monotonic()
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=1800)
    wall = time.monotonic() - began
    if done.returncode:
        raise Failed("kubectl diff found drift where there is none, or failed.", detail=done.stderr[-400:])
    return Run(wall, None, _requests(log, "kubectl/") - before, int(done.stderr.split()[-1]) / 1024)


def _requests(log: Path, agent: str) -> int:
    lines = log.read_text().splitlines() if log.exists() else []
    return sum(json.loads(line)["ua"].startswith(agent) for line in lines)


async def _create(kubeconfig: Path, declared: Sequence[dict[str, Any]]) -> None:
    turns = asyncio.Semaphore(SIDE_BY_SIDE)
    with tempfile.TemporaryDirectory() as state:
        async with KubernetesClient(kubeconfig, Settings(state_dir=Path(state)), user_agent="bench") as kubernetes:
            await kubernetes.apply({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": NAMESPACE}})

            async def one(item: dict[str, Any]) -> None:
                async with turns:
                    await kubernetes.apply(item, field_manager="kubectl")

            await asyncio.gather(*map(one, declared))


def table(rows: Sequence[Row]) -> Table:
    """Medians, the ratio first."""
    shown = Table(title="Objects compared, in step: ours / kubectl diff --server-side", title_justify="left")
    for column in ("objects", "API server", "faster by", "ours, s", "the look, s", "kubectl, s", "compared, 1/s"):
        shown.add_column(column, justify="right")
    shown.add_column("requests", justify="right")
    shown.add_column("peak, MiB", justify="right")
    for row in rows:
        wall, look = median(one.wall for one in row.ours), median(one.look or 0 for one in row.ours)
        kubectl = median(one.wall for one in row.theirs)
        shown.add_row(
            str(row.count),
            row.where,
            f"{kubectl / wall:.1f} ({kubectl / look:.0f} the look)",
            f"{wall:.2f}",
            f"{look:.2f}",
            f"{kubectl:.2f}",
            f"{row.rate:,.0f}",
            f"{row.ours[-1].requests} / {row.theirs[-1].requests}",
            f"{max(one.peak_mib for one in row.ours):.0f} / {max(one.peak_mib for one in row.theirs):.0f}",
        )
    return shown


def _options(arguments: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m deployments.bench_drift", description=__doc__)
    parser.add_argument("--objects", type=int, nargs="+", default=[1000, 5000], help="how many (default: 1000 5000)")
    parser.add_argument("-n", type=int, default=3, help="rounds (default 3)")
    return parser.parse_args(arguments)


if __name__ == "__main__":
    sys.exit(main())
