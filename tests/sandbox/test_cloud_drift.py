"""The read-only check of the cluster plane on the real cloud: what people do behind Plumbline's back, and faults."""

from __future__ import annotations

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from openstack.connection import Connection

from infra.catalog import Catalog
from infra.clients.openstack_models import Cluster
from infra.drift.findings import BlindSpot, Finding, PlaneName, PlaneState, PlaneVerdict, Severity
from infra.planes.clients import open_clients
from infra.planes.cluster_check import check
from infra.planes.cluster_seen import see
from infra.planes.looking import Looked
from infra.settings import Settings
from infra.spec.models import Environment
from infra.terraform.runner import Terraform
from infra.terraform.template import template_name
from infra.terraform.variables import Variables
from tests.platform import Platform, writes
from tests.sandbox.runs import BARE, SMALL, away
from tests.unit.planes.fakes import FakeJournal

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(400),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

NAME = "plumb"
GROUP = {"name": "build", "count": 1, "flavor": "m1.xlarge", "min": 1, "max": 5}
CLUSTER = {**SMALL, "nodeGroups": [GROUP]}
LATEST = {"OpenStack-API-Version": "container-infra 1.10"}


class Cloud:
    """The environment, ways to look at it, and what a person could do to it behind Plumbline's back."""

    def __init__(self, platform: Platform) -> None:
        self.platform = platform
        self.settings = Settings(state_dir=platform.home / "state")
        text = platform._git(
            "-C", str(platform.home / "git/environments.git"), "show", f"main:environments/{NAME}.yaml"
        )
        self.environment = Environment.model_validate(yaml.safe_load(text))
        self.wanted = Variables.of(self.environment)
        self.connection: Connection = platform.connection()
        self.magnum = self.connection.container_infrastructure_management

    async def check(self, environment: Environment | None = None) -> Looked:
        wanted = environment or self.environment
        journal: Any = FakeJournal()
        async with open_clients(
            wanted, settings=self.settings, catalog=Catalog.load(), journal=journal, read_only=True
        ) as clients:
            return await check(wanted, clients)

    async def repair(self) -> None:
        terraform = Terraform(self.wanted, settings=self.settings)
        await terraform.apply(await terraform.plan())

    @property
    def state(self) -> Path:
        return self.settings.state_dir / f"terraform/{NAME}/terraform.tfstate"

    def call(self, method: str, path: str, **extra: Any) -> Any:
        answer = self.magnum.request(path, method, headers=LATEST, **extra)
        assert answer.status_code < 300, answer.text
        return answer.json() if answer.content else None

    def cluster(self) -> dict[str, Any]:
        found: dict[str, Any] = self.call("GET", f"/clusters/{NAME}")
        return found

    def resize(self, group: str, count: int) -> None:
        uuid = self.cluster()["uuid"]
        identifier = self.call("GET", f"/clusters/{uuid}/nodegroups/{group}")["uuid"]
        self.call("POST", f"/clusters/{uuid}/actions/resize", json={"node_count": count, "nodegroup": identifier})
        self.until(lambda: self.call("GET", f"/clusters/{uuid}/nodegroups/{group}")["node_count"] == count)
        self.settled()

    def settled(self) -> None:
        self.until(lambda: self.cluster()["status"].endswith("_COMPLETE"))

    def until(self, holds: Callable[[], bool], seconds: float = 60) -> None:
        deadline = time.monotonic() + seconds
        while not holds():
            assert time.monotonic() < deadline
            time.sleep(0.2)

    def faults(self, *arguments: str) -> None:
        self.platform.sandbox("faults", *arguments)


@pytest.fixture(scope="module")
def cloud(platform: Platform) -> Iterator[Cloud]:
    platform.declare(NAME, **BARE | {"cluster": CLUSTER})
    made = platform.flow("create_environment", NAME)
    assert made.status == 0, made.log[-4000:]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(platform.home / "clouds.yaml"))
        patch.setenv("TF_CLI_CONFIG_FILE", str(platform.home / "terraformrc"))
        found = Cloud(platform)
        yield found
        found.connection.close()
    away(platform, NAME)


@pytest.fixture(autouse=True)
def no_faults(platform: Platform) -> Iterator[None]:
    yield
    platform.sandbox("faults", "clear")


def places(looked: Looked) -> dict[tuple[str, str], Finding]:
    return {finding.place: finding for finding in looked.findings}


def verdict(looked: Looked) -> PlaneState:
    made = PlaneVerdict.of(
        PlaneName.CLUSTER,
        looked.findings,
        looked.blind_spots,
        looked_at="2026-01-01T00:00:00Z",
        seconds=0,  # type: ignore[arg-type]
    )
    return made.state


async def test_what_is_as_declared_is_in_step_and_nothing_was_written(cloud: Cloud) -> None:
    folder = {path: path.stat().st_mtime_ns for path in cloud.state.parent.rglob("*") if path.is_file()}
    before = len(cloud.platform.requests())
    looked = await cloud.check()
    assert looked == Looked()
    asked = cloud.platform.requests()[before:]
    assert writes(asked) == []
    assert {item["method"] for item in asked if item["path"] != "/v3/auth/tokens"} == {"GET"}
    assert {path: path.stat().st_mtime_ns for path in cloud.state.parent.rglob("*") if path.is_file()} == folder
    assert list((cloud.settings.state_dir / "private").glob("plan-*")) == []
    begun = time.monotonic()
    await cloud.check()
    print(f"a check in step: {time.monotonic() - begun:.2f} s, {len(asked)} requests at the first")


async def test_the_name_of_the_template_is_terraforms(cloud: Cloud) -> None:
    template = cloud.call("GET", f"/clustertemplates/{cloud.cluster()['cluster_template_id']}")
    assert template["name"] == template_name(cloud.wanted)
