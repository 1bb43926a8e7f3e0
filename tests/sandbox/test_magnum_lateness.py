"""Every operation on a cluster in one run, however late Magnum writes what it has accepted.

Upstream's provider looks once, straight after its request, and believes what it sees; Magnum's conductor writes after a
delay. The cluster plane alone is brought into step here: what the flows add does not depend on Magnum.
"""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Collection, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from infra.catalog import Catalog
from infra.drift.findings import PlaneName, Severity
from infra.planes import cluster
from infra.planes.applying import Applying
from infra.planes.bring import bring_into_step
from infra.planes.clients import Clients, open_clients
from infra.planes.cloud.check import check
from infra.planes.looking import Looked
from infra.settings import Settings
from infra.spec.models import Environment
from infra.terraform.plans import Plan
from tests.platform import Platform
from tests.unit.planes.fakes import FakeJournal, declared

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

BUILD = {"name": "build", "count": 1, "flavor": "m1.xlarge", "min": 1, "max": 5}
TESTS = {"name": "tests", "count": 1, "flavor": "m1.large", "min": 0, "max": 3}


class Site:
    """One environment whose cluster the tests make, change and destroy."""

    def __init__(self, platform: Platform, folder: Path) -> None:
        self.platform = platform
        self.name = f"late-{secrets.token_hex(2)}"
        self.settings = Settings(state_dir=folder, terraform_providers="mirror")
        self.journals: list[FakeJournal] = []

    def environment(self, version: str, nodes: int, *groups: dict[str, Any]) -> Environment:
        document = declared().document()
        document["metadata"]["name"] = self.name
        document["spec"]["cluster"] |= {
            "kubernetes": version,
            "nodes": {"count": nodes, "flavor": "m1.large"},
            "nodeGroups": list(groups),
        }
        return Environment.model_validate(document)

    @asynccontextmanager
    async def clients(self, environment: Environment, *, read_only: bool = False) -> AsyncIterator[Clients]:
        journal = FakeJournal()
        self.journals.append(journal)
        opened = open_clients(
            environment, settings=self.settings, catalog=Catalog.load(), journal=journal, read_only=read_only
        )
        async with opened as clients:
            yield clients

    async def bring(self, environment: Environment) -> tuple[str, ...]:
        """One run; its addresses."""
        async with self.clients(environment) as clients:
            wanted = cluster.desired(environment)
            return (await bring_into_step(cluster, wanted, clients, name=PlaneName.CLUSTER, step="cluster")).made

    async def lose(self, environment: Environment, address: str) -> list[str]:
        """One run that may lose a node group: somebody has agreed."""
        async with self.clients(environment) as clients:
            wanted = cluster.desired(environment)

            async def as_it_is(plan: Plan) -> Plan:
                return plan

            async def agreed(_: Plan) -> Collection[str]:
                return {address}

            applying = Applying(
                cluster=wanted.cluster,
                wanted=wanted.variables,
                clients=clients,
                action="terraform apply",
                replan=clients.terraform.plan,
                prepare=as_it_is,
                allow=agreed,
            )
            return await applying.carry_out(await clients.terraform.plan())

    async def remove(self, environment: Environment) -> list[str]:
        async with self.clients(environment) as clients:
            return await cluster.remove(environment, clients)

    async def check(self, environment: Environment) -> Looked:
        async with self.clients(environment, read_only=True) as clients:
            return await check(environment, clients)

    async def shown(self, environment: Environment) -> tuple[str | None, str | None, dict[str, int]] | None:
        """Status, version and counts as Magnum shows them."""
        async with self.clients(environment, read_only=True) as clients:
            magnum = clients.openstack.magnum
            found = await magnum.cluster(self.name)
            if found is None:
                return None
            groups = {group.name: group.node_count for group in await magnum.node_groups(found.uuid)}
            return found.status, found.coe_version, groups


@pytest.fixture
def site(platform: Platform, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Site]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(platform.home / "clouds.yaml"))
    monkeypatch.setenv("TF_CLI_CONFIG_FILE", str(platform.home / "terraformrc"))
    yield Site(platform, tmp_path / "state")
    platform.sandbox("faults", "clear")


async def watched(site: Site, environment: Environment, running: Awaitable[Any]) -> list[Looked]:
    """What checks say while an operation is under way."""
    operation = asyncio.ensure_future(running)
    looks = []
    while not operation.done():
        looks.append(await site.check(environment))
    await operation
    return looks


def said(looks: list[Looked]) -> str:
    return " ".join(spot.why for look in looks for spot in look.blind_spots)


Operation = Callable[[], Awaitable[Any]]


@pytest.mark.timeout(900)
@pytest.mark.parametrize("delay", [0, 1, 10])
async def test_each_operation_is_one_run(site: Site, delay: int) -> None:
    site.platform.sandbox("faults", "set", "--cluster", site.name, "--magnum-delay", str(delay))
    took: dict[str, float] = {}

    async def step(what: str, environment: Environment, *shows: Any) -> None:
        began = time.monotonic()
        assert await site.bring(environment) != ()
        took[what] = time.monotonic() - began
        assert await site.shown(environment) == shows

    small = site.environment("v1.33.4", 1)
    counts = {"default-master": 1, "default-worker": 1}
    await step("create", small, "CREATE_COMPLETE", "v1.33.4", counts)
    await step("upgrade", site.environment("v1.33.5", 1), "UPDATE_COMPLETE", "v1.33.5", counts)
    for nodes in (2, 3):
        counts["default-worker"] = nodes
        await step(f"resize to {nodes}", site.environment("v1.33.5", nodes), "UPDATE_COMPLETE", "v1.33.5", counts)
    both = site.environment("v1.33.5", 3, BUILD, TESTS)
    await step("two groups", both, "UPDATE_COMPLETE", "v1.33.5", {**counts, "build": 1, "tests": 1})
    assert await site.bring(both) == (), "the second run changes nothing"
    assert site.journals[-1].began == []

    one = site.environment("v1.33.5", 3, BUILD)
    began = time.monotonic()
    lost = 'openstack_containerinfra_nodegroup_v1.group["tests"]'
    assert f"nodegroup/{site.name}/tests" in await site.lose(one, lost)
    took["removal"] = time.monotonic() - began
    assert await site.shown(one) == ("UPDATE_COMPLETE", "v1.33.5", {**counts, "build": 1})
    began = time.monotonic()
    assert f"cluster/{site.name}" in await site.remove(one)
    took["destroy"] = time.monotonic() - began
    assert await site.shown(one) is None
    print(f"delay {delay} s:", ", ".join(f"{what} {seconds:.0f} s" for what, seconds in took.items()))


@pytest.mark.timeout(600)
async def test_a_check_in_between_says_what_magnum_does_and_never_that_something_is_lost(site: Site) -> None:
    site.platform.sandbox("faults", "set", "--cluster", site.name, "--magnum-delay", "5")
    small, larger = site.environment("v1.33.4", 1, BUILD), site.environment("v1.33.5", 2, BUILD)
    looks = await watched(site, small, site.bring(small))
    looks += await watched(site, larger, site.bring(larger))
    assert f"Cluster {site.name} is being created since 20" in said(looks)
    assert "is being upgraded (from v1.33.4 to v1.33.5) since 20" in said(looks)
    findings = [one for look in looks for one in look.findings]
    assert [one.sentence for one in findings if one.severity is Severity.DESTRUCTIVE] == []
    assert (await site.check(larger)).findings == ()
    site.platform.sandbox("faults", "clear")
    await site.remove(larger)
