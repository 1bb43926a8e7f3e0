"""Terraform, the module and upstream's provider against real Magnum, Nova and Designate, end to end."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import openstack
import pytest

from infra.clients.errors import Conflict, Failed, InvalidInput, NotYet, Refused
from infra.clients.waiting import wait_until
from infra.spec.models import Environment
from tests.platform import Platform
from tests.sandbox.clusters import BUILD, Site

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(400),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

CLUSTER = "openstack_containerinfra_cluster_v1.cluster"
KEYPAIR = "openstack_compute_keypair_v2.nodes"
GROUP = 'openstack_containerinfra_nodegroup_v1.group["build"]'
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


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Site]:
    """An environment of this module's own, destroyed afterwards."""
    made = Site(tmp_path_factory.mktemp("terraform") / "state")
    yield made
    asyncio.run(made.remove(made.environment()))
    assert Magnum().clusters(made.name) == [], "a cluster was left outside of the state"
    assert Magnum().templates(made.name) == [], "a template was left outside of the state"


async def test_create_nothing_to_do_drift_and_repair(
    site: Site, magnum: Magnum, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="infra.terraform")
    environment = site.environment("v1.33.4", 1, BUILD)
    assert set(await site.bring(environment)) > {f"cluster/{site.name}", f"nodegroup/{site.name}/build"}
    terraform = site.terraform(environment)
    outputs, cluster = await terraform.outputs(), magnum.cluster(site.name)
    assert outputs.cluster_id == cluster["uuid"]
    assert outputs.api_address == cluster["api_address"]
    assert cluster["labels"].items() >= {"kube_tag": "v1.33.4", "plumbline_environment": site.name}.items()
    assert outputs.node_group_ids == {"build": f"{cluster['uuid']}/{magnum.groups(cluster['uuid'])['build']['uuid']}"}
    assert outputs.keypair_name == f"plumbline-{site.name}"
    assert "PRIVATE KEY" not in caplog.text

    assert (await terraform.plan()).empty

    await asyncio.to_thread(magnum.resize, cluster["uuid"], 2)
    await magnum.settled(site.name)
    await asyncio.to_thread(magnum.delete_group, cluster["uuid"], "build")
    await wait_gone(magnum, cluster["uuid"], "build")
    await asyncio.to_thread(magnum.nova.delete_keypair, outputs.keypair_name)

    state = (terraform.folder / "terraform.tfstate").read_bytes()
    found = (await site.reader(environment).plan()).plan
    assert (terraform.folder / "terraform.tfstate").read_bytes() == state
    assert {change.address: change.verb for change in found.changes} == {
        CLUSTER: "update",
        GROUP: "create",
        KEYPAIR: "create",
    }
    (resized,) = (change for change in found.changes if change.address == CLUSTER)
    assert [(item.before, item.after) for item in resized.differences if item.path == "node_count"] == [(2, 1)]
    assert "PRIVATE KEY" not in found.model_dump_json()
    assert {change.address: change.verb for change in found.drift} == {
        CLUSTER: "update",
        GROUP: "delete",
        KEYPAIR: "delete",
    }

    await site.bring(environment)
    assert (await terraform.plan()).empty
    assert magnum.groups(cluster["uuid"])["default-worker"]["node_count"] == 1
    assert "build" in magnum.groups(cluster["uuid"])


async def wait_gone(magnum: Magnum, cluster: str, name: str) -> None:
    async def look() -> None:
        if name in magnum.groups(cluster):
            raise NotYet(f"{name} is there")

    await wait_until(look, describe=f"node group {name} to go", timeout=60, interval=0.3)


async def test_an_upgrade_is_in_place_and_makes_others_wait_for_the_state(
    site: Site, magnum: Magnum, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, logger="infra.terraform")
    environment = site.environment("v1.33.4", 1, BUILD)
    await site.bring(environment)
    first = await site.terraform(environment).outputs()

    newer = site.environment("v1.33.5", 2, BUILD)
    plan = await site.terraform(newer).plan()
    assert {change.address: change.verb for change in plan.changes if "template" not in change.address} == {
        CLUSTER: "update",
    }
    await site.terraform(newer).discard(plan)
    upgrading = asyncio.create_task(site.bring(newer))
    await heard(caplog, f"Changing {CLUSTER}.")
    waiting: list[str] = []
    with pytest.raises(Conflict, match=r"is locked\. It is held by"):
        await site.terraform(environment, lock_timeout=0).plan()
    other = await site.terraform(newer, report=waiting.append).plan()
    await upgrading
    assert "Waiting for the state lock, which another terraform holds." in waiting
    await site.terraform(environment).discard(other)

    outputs = await site.terraform(newer).outputs()
    assert outputs.cluster_id == first.cluster_id
    assert outputs.template_id != first.template_id
    assert [item["uuid"] for item in magnum.templates(site.name)] == [outputs.template_id]
    assert magnum.cluster(site.name)["cluster_template_id"] == outputs.template_id
    assert magnum.groups(first.cluster_id or "")["default-worker"]["node_count"] == 2
    assert (await site.terraform(newer).plan()).empty

    document = newer.document()
    document["spec"]["cluster"]["nodes"]["flavor"] = "m1.xlarge"
    larger = Environment.model_validate(document)
    with pytest.raises(Refused, match=r"replace the cluster .* because flavor \(from m1.large to m1.xlarge\)"):
        await site.bring(larger)
    assert magnum.cluster(site.name)["uuid"] == outputs.cluster_id


async def heard(caplog: pytest.LogCaptureFixture, sentence: str) -> None:
    async def look() -> None:
        if sentence not in caplog.text:
            raise NotYet("not yet")

    await wait_until(look, describe=sentence, timeout=60, interval=0.02)


async def test_what_the_cloud_refuses_is_said_in_its_words(tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    with pytest.raises(InvalidInput, match="no-such-image could not be found"):
        await site.bring(site.environment(image="no-such-image"))
    await site.remove(site.environment())


async def test_a_cloud_nobody_knows_is_a_setting_to_correct(tmp_path: Path) -> None:
    site = Site(tmp_path / "state")
    document = site.environment().document()
    document["spec"]["cloud"] = "nowhere"
    terraform = site.terraform(type(site.environment()).model_validate(document))
    with pytest.raises(Exception, match="nowhere") as caught:
        await terraform.apply(await terraform.plan())
    assert type(caught.value).__name__ == "Misconfigured"
    assert not isinstance(caught.value, Failed)
