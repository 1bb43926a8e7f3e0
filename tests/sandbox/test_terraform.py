"""Terraform, the module and the sandbox's provider against real Magnum, Nova and Designate, end to end."""

from __future__ import annotations

import asyncio
import os
import secrets
import signal
import subprocess
import sys
import textwrap
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import openstack
import psutil
import pytest

from infra.clients.errors import Conflict, Failed, InvalidInput, NotYet, Refused
from infra.clients.waiting import wait_until
from infra.settings import ROOT, Settings
from infra.terraform import policy
from infra.terraform.looking import PlanReader
from infra.terraform.runner import Terraform
from infra.terraform.variables import NodeGroup, Nodes, Variables
from tests.platform import Platform

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(300),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

CLUSTER = "openstack_containerinfra_cluster_v1.cluster"
KEYPAIR = "openstack_compute_keypair_v2.nodes"
BUILD = 'openstack_containerinfra_nodegroup_v1.group["build"]'
KEY = "ssh-ed25519 AAAAC3NzaC1lZDI1NTE5AAAAIJYMHKFo4T2BG7K8yzkmZOcXmwDmQ1Z1qGr0oWZ5m5mO test"
LATEST = {"OpenStack-API-Version": "container-infra 1.10"}


@pytest.fixture(scope="module", autouse=True)
def sandbox(platform: Platform) -> Iterator[Path]:
    """The session's sandbox; its own environment variables set for this module."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("OS_CLIENT_CONFIG_FILE", str(platform.home / "clouds.yaml"))
        patch.setenv("TF_CLI_CONFIG_FILE", str(platform.home / "terraformrc"))
        yield platform.home


class Magnum:
    """What a person could do to the cloud behind terraform's back."""

    def __init__(self) -> None:
        self._connection = openstack.connect(cloud="sandbox")
        self._magnum = self._connection.container_infrastructure_management
        self.nova = self._connection.compute

    def clusters(self, name: str) -> list[dict[str, Any]]:
        answer = self._magnum.get("/clusters", headers=LATEST)
        # LIST answers 400 while a cluster is being deleted.
        found = answer.json().get("clusters", []) if answer.status_code == 200 else []
        return [item for item in found if item["name"] == name]

    def cluster(self, name: str) -> dict[str, Any]:
        (found,) = self.clusters(name)
        document: dict[str, Any] = self._magnum.get(f"/clusters/{found['uuid']}", headers=LATEST).json()
        return document

    def groups(self, cluster: str) -> dict[str, dict[str, Any]]:
        answer = self._magnum.get(f"/clusters/{cluster}/nodegroups", headers=LATEST).json()
        return {group["name"]: group for group in answer["nodegroups"]}

    def delete_group(self, cluster: str, name: str) -> None:
        path = f"/clusters/{cluster}/nodegroups/{name}"
        assert self._magnum.delete(path, headers=LATEST).status_code == 204

    def resize(self, cluster: str, count: int) -> None:
        answer = self._magnum.post(f"/clusters/{cluster}/actions/resize", json={"node_count": count}, headers=LATEST)
        assert answer.status_code == 202

    def templates(self, environment: str) -> list[dict[str, Any]]:
        answer = self._magnum.get("/clustertemplates", headers=LATEST).json()["clustertemplates"]
        return [item for item in answer if item["labels"].get("plumbline_environment") == environment]

    async def settled(self, name: str) -> dict[str, Any]:
        async def look() -> dict[str, Any]:
            found = self.cluster(name) if self.clusters(name) else {}
            if not str(found.get("status", "")).endswith("_COMPLETE"):
                raise NotYet(f"{name} is {found.get('status')}")
            return found

        return await wait_until(look, describe=f"cluster {name}", timeout=60, interval=0.3)


@pytest.fixture
def magnum() -> Magnum:
    return Magnum()


Make = Callable[..., Terraform]


@pytest.fixture
async def make(tmp_path: Path) -> AsyncIterator[Make]:
    """Builds a Terraform for an environment of this test's own, and destroys it afterwards."""
    name = f"t{secrets.token_hex(3)}"
    settings = Settings(state_dir=tmp_path / "state")

    def build(*, said: list[str] | None = None, lock_timeout: int = 60, **changes: Any) -> Terraform:
        values: dict[str, Any] = {
            "environment": name,
            "cloud": "sandbox",
            "kubernetes_version": "v1.33.4",
            "image": "fedora-coreos",
            "masters": Nodes(count=1, flavor="m1.medium"),
            "nodes": Nodes(count=2, flavor="m1.large"),
            "node_groups": (NodeGroup(name="build", count=1, flavor="m1.xlarge", min=1, max=5),),
            "ssh_public_key": KEY,
            **changes,
        }
        told: list[str] = [] if said is None else said
        return Terraform(Variables(**values), settings=settings, report=told.append, lock_timeout=lock_timeout)

    yield build
    terraform = build()
    plan = await terraform.plan(destroy=True)
    await terraform.apply(plan, allow=policy.agreed_by_destroy(plan))
    assert Magnum().clusters(name) == [], "a cluster was left outside of the state"
    assert Magnum().templates(name) == [], "a template was left outside of the state"


async def test_create_nothing_to_do_drift_and_repair(make: Make, magnum: Magnum) -> None:
    said: list[str] = []
    terraform = make(said=said)
    outputs = await terraform.apply(await terraform.plan())
    cluster = magnum.cluster(terraform.environment)
    assert outputs.cluster_id == cluster["uuid"]
    assert outputs.api_address == cluster["api_address"]
    assert cluster["labels"] == {"kube_tag": "v1.33.4", "plumbline_environment": terraform.environment}
    assert outputs.node_group_ids == {"build": f"{cluster['uuid']}/{magnum.groups(cluster['uuid'])['build']['uuid']}"}
    assert outputs.keypair_name == f"plumbline-{terraform.environment}"
    assert [word for word in said if "PRIVATE KEY" in word] == []

    assert (await terraform.plan()).empty

    await asyncio.to_thread(magnum.resize, cluster["uuid"], 4)
    await magnum.settled(terraform.environment)
    await asyncio.to_thread(magnum.delete_group, cluster["uuid"], "build")
    await wait_gone(magnum, cluster["uuid"], "build")
    await asyncio.to_thread(magnum.nova.delete_keypair, outputs.keypair_name)

    state = (terraform.folder / "terraform.tfstate").read_bytes()
    found = (await reader_of(terraform).plan()).plan
    assert (terraform.folder / "terraform.tfstate").read_bytes() == state
    assert {change.address: change.verb for change in found.changes} == {
        CLUSTER: "update",
        BUILD: "create",
        KEYPAIR: "create",
    }
    (resized,) = (change for change in found.changes if change.address == CLUSTER)
    assert [(item.before, item.after) for item in resized.differences if item.path == "node_count"] == [(4, 2)]
    assert "PRIVATE KEY" not in found.model_dump_json()
    assert {change.address: change.verb for change in found.drift} == {
        CLUSTER: "update",
        BUILD: "delete",
        KEYPAIR: "delete",
    }

    await terraform.apply(await terraform.plan())
    assert (await terraform.plan()).empty
    assert magnum.groups(cluster["uuid"])["default-worker"]["node_count"] == 2
    assert "build" in magnum.groups(cluster["uuid"])


def reader_of(terraform: Terraform) -> PlanReader:
    settings = Settings(state_dir=terraform.folder.parents[1])
    return PlanReader(terraform._workspace._variables, settings=settings)


async def wait_gone(magnum: Magnum, cluster: str, name: str) -> None:
    async def look() -> None:
        if name in magnum.groups(cluster):
            raise NotYet(f"{name} is there")

    await wait_until(look, describe=f"node group {name} to go", timeout=60, interval=0.3)


async def test_an_upgrade_is_in_place_and_makes_others_wait_for_the_state(make: Make, magnum: Magnum) -> None:
    terraform = make()
    first = await terraform.apply(await terraform.plan())
    await terraform.prepare()

    said: list[str] = []
    groups = (NodeGroup(name="build", count=2, flavor="m1.xlarge", min=2, max=4),)
    newer = make(said=said, kubernetes_version="v1.33.5", nodes=Nodes(count=3, flavor="m1.large"), node_groups=groups)
    plan = await newer.plan()
    assert {change.address: change.verb for change in plan.changes if "template" not in change.address} == {
        CLUSTER: "update",
        BUILD: "update",
    }
    upgrading = asyncio.create_task(newer.apply(plan))
    await heard(said, f"Changing {CLUSTER}.")
    waiting: list[str] = []
    with pytest.raises(Conflict, match=r"is locked\. It is held by"):
        await make(lock_timeout=0).plan()
    other = await make(said=waiting, kubernetes_version="v1.33.5").plan()
    outputs = await upgrading
    assert "Waiting for the state lock, which another terraform holds." in waiting
    await make().discard(other)

    assert outputs.cluster_id == first.cluster_id
    assert outputs.template_id != first.template_id
    assert [item["uuid"] for item in magnum.templates(terraform.environment)] == [outputs.template_id]
    assert magnum.cluster(terraform.environment)["cluster_template_id"] == outputs.template_id
    counts = {name: group["node_count"] for name, group in magnum.groups(first.cluster_id or "").items()}
    assert (counts["default-worker"], counts["build"]) == (3, 2)
    assert (await newer.plan()).empty


async def heard(said: list[str], sentence: str) -> None:
    async def look() -> None:
        if sentence not in said:
            raise NotYet("not yet")

    await wait_until(look, describe=sentence, timeout=60, interval=0.02)


async def test_a_replacement_of_the_cluster_is_refused(make: Make, magnum: Magnum) -> None:
    terraform = make(node_groups=())
    outputs = await terraform.apply(await terraform.plan())
    larger = make(node_groups=(), nodes=Nodes(count=2, flavor="m1.xlarge"))
    with pytest.raises(Refused, match=r"replace the cluster .* because flavor \(from m1.large to m1.xlarge\)"):
        await larger.apply(await larger.plan())
    assert magnum.cluster(terraform.environment)["uuid"] == outputs.cluster_id


async def test_cancelling_leaves_the_cluster_in_the_state(make: Make, magnum: Magnum) -> None:
    said: list[str] = []
    terraform = make(said=said)
    plan = await terraform.plan()
    running = asyncio.create_task(terraform.apply(plan))
    await heard(said, f"Creating {CLUSTER}.")
    await wait_cluster(magnum, terraform.environment)
    running.cancel()
    with pytest.raises(asyncio.CancelledError):
        await running
    assert processes_in(terraform.folder) == []
    (known,) = (item for item in await terraform.objects() if item.address == CLUSTER)
    assert known.tainted
    assert known.identifier == magnum.clusters(terraform.environment)[0]["uuid"]

    await magnum.settled(terraform.environment)
    with pytest.raises(Refused, match="an earlier operation on it did not finish"):
        await terraform.apply(await terraform.plan())
    adopted = await terraform.adopt({CLUSTER: known.identifier or ""})
    assert adopted.untainted == (CLUSTER,)
    await terraform.apply(await terraform.plan())
    assert (await terraform.plan()).empty


async def wait_cluster(magnum: Magnum, name: str) -> None:
    async def look() -> None:
        if not magnum.clusters(name):
            raise NotYet("no cluster")

    await wait_until(look, describe=f"cluster {name} to appear", timeout=30, interval=0.05)


def processes_in(folder: Path) -> list[int]:
    """Terraform and provider processes that work in a folder."""
    found = []
    for process in psutil.process_iter():
        try:
            if process.cwd() == str(folder):
                found.append(process.pid)
        except (psutil.NoSuchProcess, psutil.AccessDenied, psutil.ZombieProcess):
            continue
    return found


CHILD = """
import asyncio, os, sys
from infra.settings import Settings
from infra.terraform.looking import PlanReader
from infra.terraform.runner import Terraform
from infra.terraform.variables import Variables

async def main():
    variables = Variables.model_validate_json(sys.argv[1])
    terraform = Terraform(variables, settings=Settings(state_dir=sys.argv[2]))
    await terraform.apply(await terraform.plan())

asyncio.run(main())
"""


async def test_killing_everything_mid_create_loses_nothing(make: Make, magnum: Magnum) -> None:
    terraform = make()
    name = terraform.environment
    child = subprocess.Popen(  # noqa: ASYNC220  # it has to be killed like a stranger
        [sys.executable, "-c", textwrap.dedent(CHILD), variables_of(terraform), str(terraform.folder.parents[1])],
        cwd=ROOT,
        stdout=subprocess.DEVNULL,
    )
    await wait_cluster(magnum, name)
    working = processes_in(terraform.folder)
    for process in [child.pid, *working]:
        os.kill(process, signal.SIGKILL)
    child.wait()
    await wait_no_process(terraform.folder)
    uuid = magnum.clusters(name)[0]["uuid"]
    assert CLUSTER not in [item.address for item in await terraform.objects()]

    await magnum.settled(name)
    (template,) = magnum.templates(name)
    found = {
        CLUSTER: uuid,
        KEYPAIR: f"plumbline-{name}",
        f'openstack_containerinfra_clustertemplate_v1.cluster["{template["name"]}"]': template["uuid"],
    }
    adopted = await terraform.adopt(found)
    assert CLUSTER in adopted.imported
    assert adopted.skipped == {}
    plan = await terraform.plan()
    assert {change.address: change.verb for change in plan.changes} == {CLUSTER: "update", BUILD: "create"}
    outputs = await terraform.apply(plan)
    assert outputs.cluster_id == uuid
    assert len(magnum.clusters(name)) == 1
    assert (await terraform.plan()).empty


def variables_of(terraform: Terraform) -> str:
    return terraform._workspace._variables.model_dump_json()


async def wait_no_process(folder: Path) -> None:
    async def look() -> None:
        left = processes_in(folder)
        if left:
            raise NotYet(f"{left} still run")

    await wait_until(look, describe="terraform and its provider to end", timeout=10, interval=0.1)


async def test_what_the_cloud_refuses_is_said_in_its_words(make: Make) -> None:
    terraform = make(image="no-such-image")
    with pytest.raises(InvalidInput, match="no-such-image could not be found"):
        await terraform.apply(await terraform.plan())


async def test_a_cloud_nobody_knows_is_a_setting_to_correct(make: Make) -> None:
    terraform = make(cloud="nowhere")
    with pytest.raises(Exception, match="nowhere") as caught:
        await terraform.apply(await terraform.plan())
    assert type(caught.value).__name__ == "Misconfigured"
    assert not isinstance(caught.value, Failed)


Faults = Callable[..., object]


@pytest.fixture
def faults(platform: Platform) -> Iterator[Faults]:
    """Sets and clears faults as a person would."""
    yield lambda *arguments: platform.sandbox("faults", *arguments)
    platform.sandbox("faults", "clear")


async def test_a_failed_creation_is_final_and_may_be_replaced_by_agreement(
    make: Make, magnum: Magnum, faults: Faults
) -> None:
    terraform = make(node_groups=())
    faults("set", "--cluster", terraform.environment, "--create", "fail", "--reason", "No valid host was found")
    with pytest.raises(Failed, match="No valid host was found"):
        await terraform.apply(await terraform.plan())
    broken = magnum.cluster(terraform.environment)["uuid"]
    again = await terraform.plan()
    (change,) = (change for change in again.changes if change.address == CLUSTER)
    assert change.tainted and change.identifier == broken
    faults("clear")
    outputs = await terraform.apply(again, allow={CLUSTER})
    assert outputs.cluster_id != broken
    assert [item["uuid"] for item in magnum.clusters(terraform.environment)] == [outputs.cluster_id]


async def test_reads_that_fail_now_and_then_disturb_nothing(make: Make, magnum: Magnum, faults: Faults) -> None:
    kinds = [part for kind in ("500", "503", "429", "reset") for part in ("--kind", kind)]
    faults("set", "--service", "magnum", "--rate", "0.2", "--method", "GET", "--retry-after", "0.2", *kinds)
    terraform = make()
    outputs = await terraform.apply(await terraform.plan())
    assert (await terraform.plan()).empty
    faults("clear")
    assert [item["uuid"] for item in magnum.clusters(terraform.environment)] == [outputs.cluster_id]
