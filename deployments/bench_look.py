"""One look at objects in a cluster as a process of its own, for `make bench-drift`: prints what it took, as JSON.

It imports what a look needs and nothing more: its start is part of what is measured.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from infra.clients.helm import HelmClient
from infra.clients.helm_records import parse_manifest
from infra.clients.kubernetes import KubernetesClient
from infra.drift.findings import PlaneName
from infra.drift.objects import Key, suspects
from infra.planes.live import LiveObjects
from infra.settings import Settings


async def look(declared: Sequence[dict[str, Any]], kubeconfig: Path, *, rate: bool) -> dict[str, float]:
    """One look, as a check makes it.

    Args:
        rate: also measure the comparison alone.
    """
    with tempfile.TemporaryDirectory() as state:
        settings = Settings(state_dir=Path(state))
        async with KubernetesClient(kubeconfig, settings, read_only=True) as kubernetes:
            began = time.monotonic()
            live = LiveObjects(kubernetes, HelmClient(kubeconfig, settings, kubernetes=kubernetes))
            seen = await live.look(PlaneName.ADDONS, declared)
            took = {"seconds": time.monotonic() - began}
            if rate:
                took["rate"] = await _rate(live, declared)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    return {**took, "peak_mib": peak, "findings": len(seen.findings), "blind_spots": len(seen.blind_spots)}


async def _rate(live: LiveObjects, declared: Sequence[dict[str, Any]]) -> float:
    """How many objects a second are compared, once they have been read."""
    there: dict[Key, Any] = {}
    for kind in {(item["apiVersion"], item["kind"]) for item in declared}:
        there |= await live.of(*kind)
    began = time.perf_counter()
    suspects(declared, there)
    return len(declared) / (time.perf_counter() - began)


def main() -> int:
    """Look, and print."""
    parser = argparse.ArgumentParser(prog="python -m deployments.bench_look", description=__doc__)
    parser.add_argument("manifests", type=Path)
    parser.add_argument("kubeconfig", type=Path)
    parser.add_argument("--rate", action="store_true", help="also measure the comparison alone")
    options = parser.parse_args()
    declared = parse_manifest(options.manifests.read_text())
    print(json.dumps(asyncio.run(look(declared, options.kubeconfig, rate=options.rate))))
    return 0


if __name__ == "__main__":
    sys.exit(main())
