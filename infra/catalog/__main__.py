"""`python -m infra.catalog`: list the catalogue, and write the lock of chart digests."""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from infra.catalog.catalog import Catalog
from infra.catalog.fetching import Reference, download, resolve
from infra.catalog.lock import LOCK_FILE, Lock, digest, source_keys
from infra.catalog.models import Chart
from infra.clients.errors import PlumblineError
from infra.settings import Settings


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command; 0 when all is well, 1 when something could not be done."""
    parser = argparse.ArgumentParser(prog="python -m infra.catalog", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    commands.add_parser("list", help="print every add-on with its charts")
    lock = commands.add_parser("lock", help="download every chart and record its sha256")
    lock.add_argument("--mirror", help="fetch from this repository instead of upstream: https://, http:// or file://")
    lock.add_argument("--replace", action="store_true", help="accept new content under a version already locked")
    lock.add_argument("--lock-file", type=Path, default=LOCK_FILE, help="the file to write")
    arguments = parser.parse_args(argv)
    try:
        if arguments.command == "list":
            return _list()
        return asyncio.run(_lock(arguments.lock_file, arguments.mirror, replace=arguments.replace))
    except PlumblineError as error:
        print(error, file=sys.stderr)
        return 1


def _list() -> int:
    for addon in Catalog.load().values():
        print(f"{addon.name}: {addon.title} [{addon.spec.status}]")
        for chart in addon.charts():
            print(f"  {chart}")
    return 0


async def _lock(path: Path, mirror: str | None, *, replace: bool) -> int:
    """Download what the catalogue names; what cannot be had is said plainly and stays out of the lock."""
    # The mirror is an argument here: the running sandbox must not decide what gets recorded for upstream.
    settings = Settings(chart_mirror=mirror)
    charts = Catalog.load().charts()
    lock = Lock.load(path)
    failed = 0
    for chart in charts:
        reference = resolve(chart, mirror)
        key = (source_keys(chart, reference.mirror)[0], chart.name, chart.version)
        try:
            sha256 = await _digest(reference, settings)
        except PlumblineError as error:
            failed += 1
            print(f"not fetched: {chart.name} {chart.version}: {error}", file=sys.stderr)
            continue
        known = lock.digests.get(key)
        if known not in (None, sha256) and not replace:
            failed += 1
            print(
                f"not locked: {reference} has another content than was locked ({sha256[:16]}…, recorded "
                f"{str(known)[:16]}…). Find out why; --replace accepts it.",
                file=sys.stderr,
            )
            continue
        print(f"{'unchanged' if known == sha256 else 'locked'}: {reference} sha256 {sha256}")
        lock = lock.with_digest(key, sha256)
    lock = _without_stale(lock, charts)
    lock.save(path)
    if failed:
        print(f"{failed} of {len(charts)} charts could not be locked; they stay refused.", file=sys.stderr)
    return 1 if failed else 0


def _without_stale(lock: Lock, charts: Sequence[Chart]) -> Lock:
    """Drop what the catalogue no longer names."""
    named = {(chart.name, chart.version) for chart in charts}
    return lock.only(key for key in lock.digests if key[1:] in named)


async def _digest(reference: Reference, settings: Settings) -> str:
    with tempfile.TemporaryDirectory(prefix="plumbline-lock-") as folder:
        return digest(await download(reference, Path(folder), settings=settings, attempts=2))


if __name__ == "__main__":
    sys.exit(main())
