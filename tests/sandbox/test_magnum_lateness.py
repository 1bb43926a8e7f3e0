"""Every operation on a cluster in one run, however late Magnum writes what it has accepted.

Upstream's provider looks once, straight after its request, and believes what it sees; Magnum's conductor writes after a
delay. The cluster plane alone is brought into step here: what the flows add does not depend on Magnum.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from infra.drift.findings import Severity
from infra.planes.looking import Looked
from infra.spec.models import Environment
from tests.platform import Platform
from tests.sandbox.clusters import BUILD, Site, with_credential

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(900),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

DELAYS = (0, 1, 10)
"""Seconds by which Magnum writes late."""
LOOKS_EVERY = 4
"""Seconds between two checks: a look without end would take the machine from those that work."""
TESTS = {"name": "tests", "count": 1, "flavor": "m1.large", "min": 0, "max": 3}

Late = Callable[[float], Site]


@pytest.fixture
def late(platform: Platform, tmp_path: Path) -> Iterator[Late]:
    """Makes sites about whose clusters Magnum writes late; all is done with an unrestricted application credential."""

    def make(delay: float) -> Site:
        site = Site(tmp_path / f"state-{delay}")
        platform.sandbox("faults", "set", "--cluster", site.name, "--magnum-delay", str(delay))
        return site

    with with_credential(platform, tmp_path, restricted=False):
        yield make
    platform.sandbox("faults", "clear")


async def every_operation(
    site: Site, standing: Callable[[Site], None], looks: list[Looked] | None = None
) -> dict[str, float]:
    """From nothing to nothing, each operation in one run; returns how long each took.

    Args:
        standing: called while the cluster is there.
        looks: gets what checks say while the cluster is made and upgraded; without it, nobody looks.
    """
    took: dict[str, float] = {}

    async def timed(what: str, making: Awaitable[Any], watched: Environment | None = None) -> Any:
        began, run = time.monotonic(), asyncio.ensure_future(making)
        while watched is not None and looks is not None and not run.done():
            looks.append(await site.check(watched))
            await asyncio.wait({run}, timeout=LOOKS_EVERY)
        made = await run
        took[what] = time.monotonic() - began
        return made

    async def step(what: str, environment: Environment, *shows: Any, watching: bool = False) -> None:
        assert await timed(what, site.bring(environment), environment if watching else None) != (), what
        assert await site.shown(environment) == shows, what

    counts = {"default-master": 1, "default-worker": 1}
    await step("create", site.environment("v1.33.4", 1), "CREATE_COMPLETE", "v1.33.4", counts, watching=True)
    await step("upgrade", site.environment("v1.34.1", 1), "UPDATE_COMPLETE", "v1.34.1", counts, watching=True)
    for nodes in (2, 3):
        counts["default-worker"] = nodes
        await step(f"resize to {nodes}", site.environment("v1.34.1", nodes), "UPDATE_COMPLETE", "v1.34.1", counts)
    both = site.environment("v1.34.1", 3, BUILD, TESTS)
    await step("two groups", both, "UPDATE_COMPLETE", "v1.34.1", {**counts, "build": 1, "tests": 1})
    assert await site.bring(both) == (), "the second run changes nothing"
    assert site.journals[-1].began == []
    assert (await site.check(both)).findings == ()
    standing(site)

    one = site.environment("v1.34.1", 3, BUILD)
    assert f"nodegroup/{site.name}/tests" in await timed("removal", site.agree(one))
    assert await site.shown(one) == ("UPDATE_COMPLETE", "v1.34.1", {**counts, "build": 1})
    assert f"cluster/{site.name}" in await timed("destroy", site.remove(one))
    assert await site.shown(one) is None
    return took


async def test_each_operation_is_one_run_however_late_magnum_writes(late: Late, platform: Platform) -> None:
    """Side by side, for most of it is waiting; beside the latest, checks look all the time."""

    def note(site: Site) -> None:
        """How many application credentials there are for a cluster, since it stands and when it has gone."""
        with platform.connection() as cloud:
            made = cloud.identity.application_credentials(cloud.current_user_id)
            credentials.append(sum(f"Magnum cluster {site.name} (" in (one.description or "") for one in made))

    sites, looks, credentials = {delay: late(delay) for delay in DELAYS}, list[Looked](), list[int]()
    runs = (every_operation(site, note, looks if delay == max(DELAYS) else None) for delay, site in sites.items())
    ends = await asyncio.gather(*runs, return_exceptions=True)
    for delay, end in zip(DELAYS, ends, strict=True):
        if isinstance(end, dict):
            print(f"delay {delay} s:", ", ".join(f"{what} {seconds:.0f} s" for what, seconds in end.items()))
    failed = [f"delay {delay} s: {end!r}" for delay, end in zip(DELAYS, ends, strict=True) if not isinstance(end, dict)]
    assert failed == []

    name = sites[max(DELAYS)].name
    said = " ".join(spot.why for look in looks for spot in look.blind_spots)
    assert f"Cluster {name} is being created since 20" in said
    assert "is being upgraded (from v1.33.4 to v1.34.1) since 20" in said
    findings = [one for look in looks for one in look.findings]
    assert [one.sentence for one in findings if one.severity is Severity.DESTRUCTIVE] == []
    for site in sites.values():
        note(site)
    assert credentials == [1, 1, 1, 0, 0, 0]
