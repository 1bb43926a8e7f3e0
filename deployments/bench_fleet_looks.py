"""The same looks with and without Prefect, each as a process of its own; prints what it took, as JSON.

    python -m deployments.bench_fleet_looks fleet           every environment, without Prefect
    python -m deployments.bench_fleet_looks plain NAME      one, without Prefect, and once more
    python -m deployments.bench_fleet_looks flow NAME       one, by the flow check-drift, and once more

Without Prefect is the code of the flows with each step replaced by the function within it: same clients, looks,
verdict, ledger and document; no flow run, task runs, states, artifacts, events and logs sent.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import functools
import json
import sys
import time
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Any, cast
from unittest import mock

from prefect.events.schemas.events import Event
from prefect.tasks import Task
from prefect.utilities.annotations import quote

from flows import check_drift, check_fleet, checking
from infra.catalog import Catalog
from infra.clients.private import write_private
from infra.drift import verdict_report
from infra.drift.verdict import Verdict
from infra.ledger import Ledger
from infra.settings import Settings, get_settings
from tasks import announcing, declaration, drift

STEPS = ("reach_for_looking", "look_at_plane")


def bare(step: Task[..., Any]) -> Callable[..., Awaitable[Any]]:
    """The function within a step, for callers that quote its arguments."""

    @functools.wraps(step.fn)
    async def call(*arguments: Any) -> Any:
        plain = (one.unquote() if isinstance(one, quote) else one for one in arguments)
        return await cast("Awaitable[Any]", step.fn(*plain))

    return call


async def write_verdict(verdict: Verdict, settings: Settings) -> None:
    """What `publish_verdict` does beside telling Prefect."""
    verdict_report.markdown(verdict)
    verdict_report.rows(verdict)
    path = settings.state_dir / drift.VERDICTS / f"{verdict.environment}.json"
    await asyncio.to_thread(write_private, path, verdict.model_dump_json(indent=2))


@contextlib.contextmanager
def without_prefect() -> Iterator[None]:
    """Checks call the functions, and not the tasks around them."""

    async def publish(verdict: quote, settings: Settings) -> None:
        await write_verdict(verdict.unquote(), settings)

    async def unheard(_events: Sequence[Event]) -> None:
        """As if Prefect had received them."""

    with contextlib.ExitStack() as stack:
        for name in STEPS:
            stack.enter_context(mock.patch.object(checking, name, bare(getattr(checking, name))))
        stack.enter_context(mock.patch.object(checking, "publish_verdict", publish))
        stack.enter_context(mock.patch.object(announcing, "emit", unheard))
        yield


async def plain_sweep() -> list[Verdict]:
    """Every declared environment, as `check-fleet` looks at them."""
    settings, catalog = get_settings(), Catalog.load()
    async with Ledger.open(settings) as ledger:
        fleet = await declaration.load_fleet.fn(None, settings, frozenset(catalog))
        loaded = [fleet.load(name) for name in fleet.names]
        found = await check_fleet._sweep(loaded, settings, catalog, ledger)
    for cloud in sorted({one.environment.spec.cloud for one in loaded}):
        await drift.look_for_strays.fn(cloud, frozenset(fleet.names), settings)
    return [one for one in found if isinstance(one, Verdict)]


async def plain_check(name: str) -> list[Verdict]:
    """One environment, as `check-drift` looks at it."""
    settings, catalog = get_settings(), Catalog.load()
    async with Ledger.open(settings) as ledger:
        loaded = await declaration.load_environment.fn(name, None, settings, frozenset(catalog))
        return [await checking.check(loaded, settings, catalog, ledger)]


async def flow_check(name: str) -> list[Verdict]:
    """One environment, by the flow."""
    return [cast(Verdict, await check_drift.check_drift(name=name))]


def main() -> int:
    """Look, and print."""
    parser = argparse.ArgumentParser(prog="python -m deployments.bench_fleet_looks", description=__doc__)
    parser.add_argument("what", choices=("fleet", "plain", "flow"))
    parser.add_argument("name", nargs="?", default="")
    options = parser.parse_args()
    looks: dict[str, Callable[[], Awaitable[list[Verdict]]]] = {
        "fleet": plain_sweep,
        "plain": lambda: plain_check(options.name),
        "flow": lambda: flow_check(options.name),
    }

    async def timed() -> tuple[list[float], list[Verdict]]:
        seconds: list[float] = []
        for _ in range(1 if options.what == "fleet" else 2):
            began = time.monotonic()
            verdicts = await looks[options.what]()
            seconds.append(time.monotonic() - began)
        return seconds, verdicts

    with contextlib.redirect_stdout(sys.stderr), contextlib.ExitStack() as stack:
        if options.what != "flow":
            stack.enter_context(without_prefect())
        seconds, verdicts = asyncio.run(timed())
    took = {"seconds": seconds[0], "again": seconds[-1]}
    print(json.dumps({**took, "verdicts": [one.model_dump(mode="json") for one in verdicts]}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
