"""What the product asks of the real Neutron, Cinder and Octavia: the preflight's facts, a dead cluster's sweep.

A stranger's things stand beside the dead cluster's, named almost alike; they have to survive.
"""

# ruff: noqa: F811 - a fixture that is imported, and the argument that asks for it, have one name.
from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from openstack.connection import Connection

from deployments.sandbox.settings import SandboxSettings
from infra.catalog import Catalog
from infra.clients.errors import DeadlineExceeded
from infra.planes import leftovers
from infra.planes.clients import Clients, open_clients
from infra.planes.preflight import gather_facts
from infra.settings import Settings
from infra.spec.capacity import needs
from infra.spec.models import Environment
from infra.spec.preflight import preflight
from tests.platform import told
from tests.sandbox.cloud import wait
from tests.sandbox.test_cloud_infrastructure import (
    Place,
    attach,
    balancer,
    make_balancer,
    make_place,
    place,  # noqa: F401
    volume,
)
from tests.unit.planes.fakes import FakeJournal, declared

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(600),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]

DEAD, STRANGER = "gone", "gone-2"
OWN = "5d9f9a2c-0d0f-4c39-9d8e-0a4f1b2c3d4e"
"""The dead cluster's UUID. Cloud provider and volume driver call it so, or by its name: as they were started."""


def named(name: str) -> Environment:
    document = declared().document()
    document["metadata"]["name"] = name
    return Environment.model_validate(document)


@pytest.fixture
async def clients(sandbox: SandboxSettings, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Clients]:
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(sandbox.home / "clouds.yaml"))
    own = Settings(state_dir=tmp_path, probe_timeout=120, probe_interval=1, secrets_dir=sandbox.home / "secrets")
    journal: Any = FakeJournal()
    async with open_clients(named(DEAD), settings=own, catalog=Catalog.load(), journal=journal) as found:
        await found.clusters.note_cluster(OWN)
        yield found


def cluster_things(cloud: Connection, place: Place, cluster: str) -> None:
    """What cloud provider and volume driver make for a cluster."""
    name = f"kube_service_{cluster}_web_web"
    made = make_balancer(cloud, place.subnet, name, f"Kubernetes external service web/web from cluster {cluster}")
    wait(name, balancer(cloud, name), "ACTIVE", 120)
    cloud.network.create_ip(
        floating_network_id=cloud.network.find_network("public").id,
        port_id=made.vip_port_id,
        description=f"Floating IP for Kubernetes external service web/web from cluster {cluster}",
    )
    cloud.network.create_security_group(
        name=f"lb-sg-{cluster}", description=f"Security Group for web/web Service LoadBalancer in cluster {cluster}"
    )
    volumes(cloud, cluster)


def volumes(cloud: Connection, cluster: str) -> None:
    """What the volume driver alone makes for a cluster."""
    marks = {"cinder.csi.openstack.org/cluster": cluster}
    for number in range(2):
        claim = cloud.block_storage.create_volume(name=f"pvc-{cluster}-{number}", size=1, metadata=marks)
        wait(claim.name, volume(cloud, claim), "available")
    snapshot = cloud.block_storage.create_snapshot(volume_id=claim.id, name=f"snapshot-{cluster}", metadata=marks)
    wait("snapshot", lambda: cloud.block_storage.get_snapshot(snapshot.id).status, "available")
    attach(cloud, claim.id)


def things(cloud: Connection, cluster: str) -> dict[str, int]:
    """How many of each there are of a cluster."""
    marks = ("cinder.csi.openstack.org/cluster", cluster)
    network, storage = cloud.network, cloud.block_storage
    return {
        "load balancers": sum(f"_{cluster}_" in one.name for one in cloud.load_balancer.load_balancers()),
        "floating IPs": sum(one.description.endswith(f" {cluster}") for one in network.ips()),
        "security groups": sum(one.description.endswith(f" {cluster}") for one in network.security_groups()),
        "volumes": sum(marks in one.metadata.items() for one in storage.volumes()),
        "snapshots": sum(marks in one.metadata.items() for one in storage.snapshots()),
    }


ALL = {"load balancers": 1, "floating IPs": 1, "security groups": 1, "volumes": 2, "snapshots": 1}
NONE = dict.fromkeys(ALL, 0)
VOLUMES = {"volumes": 2, "snapshots": 1}


async def test_a_dead_clusters_things_go_and_a_strangers_stay(clients: Clients, demo: Connection, place: Place) -> None:
    # The dead cluster has a network of its own, too, as it is left when its deletion stopped half-way.
    own = make_place(demo, DEAD)
    cluster_things(demo, own, OWN)
    volumes(demo, DEAD)
    cluster_things(demo, place, STRANGER)
    ports = {one.id for one in demo.network.ports(network_id=place.network.id)}
    assert (things(demo, OWN), things(demo, DEAD), things(demo, STRANGER)) == (ALL, NONE | VOLUMES, ALL)
    outcome = await leftovers.sweep(named(DEAD), clients)
    assert (things(demo, OWN), things(demo, DEAD), things(demo, STRANGER)) == (NONE, NONE, ALL)
    assert demo.network.find_network(own.network.id) is None
    assert demo.network.find_router(own.router.id) is None
    assert {one.id for one in demo.network.ports(network_id=place.network.id)} == ports
    assert len(outcome.made) == 11
    again = await leftovers.sweep(named(DEAD), clients)
    assert (again.made, again.sentence) == ((), "nothing of it is left")
    await leftovers.sweep(named(STRANGER), clients)
    assert things(demo, STRANGER) == NONE


async def test_what_cannot_be_deleted_has_its_sentence(
    clients: Clients, sandbox: SandboxSettings, demo: Connection, place: Place
) -> None:
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 20})
    cluster_things(demo, place, OWN)
    told(sandbox, "faults", "set", "--load-balancer", f"kube_service_{OWN}_*", "--delete", "fail")
    told(sandbox, "faults", "set", "--volume", f"pvc-{OWN}-1", "--detach", "fail")
    try:
        with pytest.raises(DeadlineExceeded) as caught:
            await leftovers.sweep(named(DEAD), clients)
    finally:
        told(sandbox, "faults", "clear")
    said = str(caught.value)
    assert f"load balancer kube_service_{OWN}_web_web is in ERROR" in said
    assert f"volume pvc-{OWN}-1 is still attached to server " in said
    clients.settings = clients.settings.model_copy(update={"probe_timeout": 120})
    await leftovers.sweep(named(DEAD), clients)
    assert things(demo, OWN) == NONE


def with_networks(**changes: Any) -> Environment:
    document = declared().model_dump(mode="json", by_alias=True)
    storage = {key: changes.pop(key) for key in ("volumeType",) if key in changes}
    document["spec"]["cluster"] |= changes
    document["spec"]["storage"] |= storage
    return Environment.model_validate(document)


async def test_the_preflight_knows_the_clouds_networks_types_and_quotas(clients: Clients, place: Place) -> None:
    facts = await gather_facts(named(DEAD), clients)
    assert facts.networks is not None
    assert "public" in facts.networks
    assert facts.subnets is not None
    assert facts.subnets["shared"] == {place.subnet.id, "shared"}
    assert (facts.block_storage, facts.availability_zones) == (True, {"nova"})
    assert facts.volume_types is not None
    assert {"standard", "ssd"} <= facts.volume_types
    assert facts.quotas is not None
    assert needs(declared(), facts).keys() <= facts.quotas.keys()
    right = with_networks(
        externalNetwork="public", fixedNetwork="shared", fixedSubnet=place.subnet.id, volumeType="ssd"
    )
    assert [one for one in preflight(right, facts) if not one.path.startswith("(")] == []
    wrong = with_networks(externalNetwork="publc", fixedNetwork="shared", fixedSubnet="other", volumeType="gold")
    assert {one.path for one in preflight(wrong, facts)} >= {
        "spec.cluster.externalNetwork",
        "spec.cluster.fixedSubnet",
        "spec.storage.volumeType",
    }
