"""Networks, volumes and load balancers of the sandbox's cloud, as a member of a project has them."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from ipaddress import ip_address
from typing import Any, NamedTuple

import openstack
import pytest
from openstack.connection import Connection

from deployments.sandbox import lifecycle
from deployments.sandbox.settings import SandboxSettings
from tests.platform import told
from tests.sandbox.cloud import connect, create_cluster, delete_cluster, make_template, raw, status, wait

pytestmark = [
    pytest.mark.sandbox,
    pytest.mark.timeout(600),
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


class Place(NamedTuple):
    """A network of the project with a way out."""

    network: Any
    subnet: Any
    router: Any


def make_place(cloud: Connection, name: str) -> Place:
    external = cloud.network.find_network("public")
    network = cloud.network.create_network(name=name)
    subnet = cloud.network.create_subnet(name=name, network_id=network.id, cidr="10.9.0.0/24", ip_version=4)
    router = cloud.network.create_router(name=name, external_gateway_info={"network_id": external.id})
    cloud.network.add_interface_to_router(router, subnet_id=subnet.id)
    return Place(network, subnet, router)


def remove_place(cloud: Connection, place: Place) -> None:
    cloud.network.remove_interface_from_router(place.router, subnet_id=place.subnet.id)
    cloud.network.delete_router(place.router)
    cloud.network.delete_network(place.network)


@pytest.fixture(scope="module")
def place(demo: Connection) -> Iterator[Place]:
    made = make_place(demo, "shared")
    yield made
    remove_place(demo, made)


def make_balancer(cloud: Connection, subnet: Any, name: str, description: str = "") -> Any:
    member = {"name": "node", "address": "10.9.0.200", "protocol_port": 30080, "subnet_id": subnet.id}
    pool = {"name": "pool", "protocol": "TCP", "lb_algorithm": "ROUND_ROBIN", "members": [member]}
    listener = {"name": "http", "protocol": "TCP", "protocol_port": 80, "default_pool": pool}
    return cloud.load_balancer.create_load_balancer(
        name=name, description=description, vip_subnet_id=subnet.id, tags=[name], listeners=[listener]
    )


def balancer(cloud: Connection, name: str) -> Callable[[], str]:
    def look() -> str:
        found = cloud.load_balancer.find_load_balancer(name)
        return str(found.provisioning_status) if found else "absent"

    return look


def volume(cloud: Connection, made: Any) -> Callable[[], str]:
    return lambda: str(cloud.block_storage.get_volume(made.id).status)


def test_floating_ips_are_loopback_addresses(sandbox: SandboxSettings, demo: Connection, place: Place) -> None:
    external = demo.network.find_network("public")
    assert external.is_router_external
    port = demo.network.create_port(network_id=place.network.id)
    floating = demo.network.create_ip(floating_network_id=external.id, port_id=port.id)
    assert ip_address(floating.floating_ip_address) in sandbox.loadbalancer_network
    assert demo.network.get_ip(floating.id).status == "ACTIVE"
    (interface,) = demo.network.ports(device_owner="network:router_interface", network_id=place.network.id)
    assert interface.status == "ACTIVE"
    demo.network.delete_ip(floating)
    demo.network.delete_port(port)


def test_security_groups_begin_with_rules_and_zones_are_known(demo: Connection) -> None:
    group = demo.network.create_security_group(name="rules")
    assert [rule["direction"] for rule in group.security_group_rules] == ["egress", "egress"]
    demo.network.delete_security_group(group)
    assert {zone.name for zone in demo.network.availability_zones()} == {"nova"}
    assert {zone.name for zone in demo.block_storage.availability_zones()} == {"nova"}


def test_a_volume_and_its_snapshot(demo: Connection) -> None:
    storage = demo.block_storage
    made = storage.create_volume(name="data", size=2, volume_type="ssd", metadata={"cluster": "one"})
    wait("volume", volume(demo, made), "available")
    snapshot = storage.create_snapshot(volume_id=made.id, name="yesterday")
    wait("snapshot", lambda: storage.get_snapshot(snapshot.id).status, "available")
    with pytest.raises(openstack.exceptions.BadRequestException, match="snapshots"):
        storage.delete_volume(made)
    storage.delete_snapshot(snapshot)
    wait("no snapshot", lambda: storage.get_snapshot(snapshot.id).status, "absent")
    storage.extend_volume(made, 3)
    wait("larger", lambda: (volume(demo, made)(), storage.get_volume(made.id).size), ("available", 3))
    storage.delete_volume(made)
    wait("no volume", volume(demo, made), "absent")
    with pytest.raises(openstack.exceptions.HttpException, match="not be found"):
        storage.create_volume(name="data", size=1, volume_type="gold")


def test_a_load_balancer_from_birth_to_death(demo: Connection, place: Place) -> None:
    made = make_balancer(demo, place.subnet, "life")
    wait("balancer", balancer(demo, "life"), "ACTIVE")
    port = demo.network.get_port(made.vip_port_id)
    assert (port.network_id, port.device_owner) == (place.network.id, "Octavia")
    (pool,) = demo.load_balancer.pools(loadbalancer_id=made.id)
    monitor = demo.load_balancer.create_health_monitor(
        pool_id=pool.id, type="TCP", delay=5, timeout=3, max_retries=2, name="monitor"
    )
    wait("monitor", balancer(demo, "life"), "ACTIVE")
    assert demo.load_balancer.get_health_monitor(monitor.id).operating_status == "ONLINE"
    with pytest.raises(openstack.exceptions.BadRequestException, match="children"):
        demo.load_balancer.delete_load_balancer(made.id)
    demo.load_balancer.delete_load_balancer(made.id, cascade=True)
    wait("no balancer", balancer(demo, "life"), "absent")
    wait("no port", lambda: demo.network.find_port(made.vip_port_id), None)


def test_magnum_asks_neutron_for_the_networks_of_a_template(demo: Connection, place: Place) -> None:
    template = make_template(demo, "networks", "v1.33.4")
    magnum = demo.container_infrastructure_management
    given = {"coe": "kubernetes", "image_id": template.image_id, "keypair_id": "networks", "flavor_id": "m1.large"}
    for field in ("external_network_id", "fixed_network", "fixed_subnet"):
        fixed = {"fixed_network": place.network.id} if field == "fixed_subnet" else {}
        status, answer = raw(demo, "POST", "/clustertemplates", json={**given, **fixed, field: "nowhere"})
        assert (status, "nowhere" in answer["errors"][0]["detail"]) == (400, True), answer
    somewhere = magnum.create_cluster_template(
        **(given | {"external_network_id": "public", "fixed_network": "shared", "fixed_subnet": "shared"}), name="there"
    )
    for each in (somewhere, template):
        magnum.delete_cluster_template(each.uuid)
    demo.compute.delete_keypair("networks")


def test_many_writers_at_once(demo: Connection, sandbox: SandboxSettings) -> None:
    def networks(cloud: Connection, name: str) -> None:
        remove_place(cloud, make_place(cloud, name))

    def volumes(cloud: Connection, name: str) -> None:
        made = cloud.block_storage.create_volume(name=name, size=1)
        wait(name, volume(cloud, made), "available")
        cloud.block_storage.delete_volume(made)
        wait(name, volume(cloud, made), "absent")

    def balancers(cloud: Connection, name: str) -> None:
        place = make_place(cloud, name)
        made = make_balancer(cloud, place.subnet, name)
        wait(name, balancer(cloud, name), "ACTIVE", 120)
        cloud.load_balancer.delete_load_balancer(made.id, cascade=True)
        wait(name, balancer(cloud, name), "absent", 120)
        remove_place(cloud, place)

    def one(number: int) -> None:
        cloud = connect(sandbox, "sandbox")
        try:
            (networks, volumes, balancers)[number % 3](cloud, f"many-{number}")
        finally:
            cloud.close()

    before = demo.block_storage.get_limits().absolute.total_volumes_used
    with ThreadPoolExecutor(6) as pool:
        list(pool.map(one, range(6)))
    assert [each.name for each in demo.network.networks() if each.name.startswith("many-")] == []
    # A quota that a failed transaction spoilt would stay wrong for ever.
    assert demo.block_storage.get_limits().absolute.total_volumes_used == before


def test_what_was_under_way_when_a_service_was_killed_is_taken_up(
    sandbox: SandboxSettings, demo: Connection, place: Place
) -> None:
    storage = demo.block_storage
    doomed = storage.create_volume(name="doomed", size=1)
    wait("volume", volume(demo, doomed), "available")
    make_balancer(demo, place.subnet, "doomed")
    wait("balancer", balancer(demo, "doomed"), "ACTIVE")
    told(sandbox, "faults", "set", "--volume", "doomed", "--delete", "hang")
    told(sandbox, "faults", "set", "--volume", "unborn", "--create", "hang")
    told(sandbox, "faults", "set", "--load-balancer", "doomed", "--delete", "hang")
    try:
        storage.delete_volume(doomed)
        unborn = storage.create_volume(name="unborn", size=1)
        demo.load_balancer.delete_load_balancer(demo.load_balancer.find_load_balancer("doomed").id, cascade=True)
        wait("deleting", volume(demo, doomed), "deleting")
        wait("creating", volume(demo, unborn), "creating")
        wait("deleting", balancer(demo, "doomed"), "PENDING_DELETE")
        kill(sandbox, "cinder", "octavia")
    finally:
        told(sandbox, "faults", "clear")
    wait("no volume", volume(demo, doomed), "absent", 120)
    wait("no balancer", balancer(demo, "doomed"), "absent", 120)
    wait("error", volume(demo, unborn), "error")
    storage.delete_volume(unborn)
    wait("no volume", volume(demo, unborn), "absent")


def kill(sandbox: SandboxSettings, *names: str) -> None:
    """End services as the machine would, and wait until they are back."""

    def rows() -> dict[str, dict[str, Any]]:
        now = lifecycle.status(sandbox)
        assert now is not None
        return {row["name"]: row for row in now["services"] if row["name"] in names}

    before = rows()
    for row in before.values():
        os.kill(row["pid"], signal.SIGKILL)
    wait("back", lambda: {(row["state"], row["restarts"]) for row in rows().values()}, {("ready", 1)}, 120)


def test_balancers_fail_as_told(sandbox: SandboxSettings, demo: Connection, place: Place) -> None:
    told(sandbox, "faults", "set", "--load-balancer", "bad-*", "--create", "fail", "--delete", "fail")
    try:
        made = make_balancer(demo, place.subnet, "bad-one")
        wait("failed", balancer(demo, "bad-one"), "ERROR")
        demo.load_balancer.delete_load_balancer(made.id, cascade=True)
        wait("deleting", balancer(demo, "bad-one"), "ERROR")
    finally:
        told(sandbox, "faults", "clear")
    demo.load_balancer.delete_load_balancer(made.id, cascade=True)
    wait("no balancer", balancer(demo, "bad-one"), "absent")


def test_volumes_stay_attached_as_told(sandbox: SandboxSettings, demo: Connection) -> None:
    storage = demo.block_storage
    made = storage.create_volume(name="held", size=1)
    wait("volume", volume(demo, made), "available")
    attach(demo, made.id)
    assert volume(demo, made)() == "in-use"
    told(sandbox, "faults", "set", "--volume", "held", "--detach", "fail", "--reason", "The target is busy.")
    (attachment,) = [each for each in storage.attachments() if each.volume_id == made.id]
    try:
        with pytest.raises(openstack.exceptions.HttpException):
            storage.delete_attachment(attachment.id)
        with pytest.raises(openstack.exceptions.BadRequestException, match="attached"):
            storage.delete_volume(made)
    finally:
        told(sandbox, "faults", "clear")
    storage.delete_attachment(attachment.id)
    wait("detached", volume(demo, made), "available")
    storage.delete_volume(made)
    wait("no volume", volume(demo, made), "absent")


def attach(cloud: Connection, identifier: str) -> None:
    """Attach a volume as a server would have it: Nova here makes none."""
    connector = {"host": "node-0", "mountpoint": "/dev/vdb", "initiator": "iqn.2026-01.org.example:node-0"}
    cloud.block_storage.create_attachment(
        identifier, connector=connector, instance="00000000-0000-4000-8000-000000000001"
    )
    (made,) = [each for each in cloud.block_storage.attachments() if each.volume_id == identifier]
    cloud.block_storage.complete_attachment(made)


def test_magnum_deletes_a_clusters_load_balancers_before_its_network(demo: Connection, place: Place) -> None:
    template = make_template(demo, "mortal", "v1.33.4")
    uuid = create_cluster(demo, template, "mortal", 1)
    wait("cluster", status(demo, uuid), "CREATE_COMPLETE", 120)
    (subnet,) = demo.network.subnets(network_id=demo.network.find_network("mortal").id)
    said = "Kubernetes external service web/web from cluster"
    made = make_balancer(demo, subnet, "mortal", f"{said} {uuid}")
    others = make_balancer(demo, place.subnet, "immortal", f"{said} 99999999-0d0f-4c39-9d8e-0a4f1b2c3d4e")
    for name in ("mortal", "immortal"):
        wait(name, balancer(demo, name), "ACTIVE", 120)
    demo.network.create_ip(
        floating_network_id=demo.network.find_network("public").id,
        port_id=made.vip_port_id,
        description=f"Floating IP for {said} {uuid}",
    )
    delete_cluster(demo, uuid)
    assert balancer(demo, "mortal")() == "absent"
    assert demo.network.find_network("mortal") is None
    assert [one for one in demo.network.ips() if one.port_id and one.description.endswith(uuid)] == []
    assert balancer(demo, "immortal")() == "ACTIVE"
    demo.load_balancer.delete_load_balancer(others.id, cascade=True)
    wait("gone", balancer(demo, "immortal"), "absent")


def test_the_pool_of_floating_ips_is_exhausted_as_told(sandbox: SandboxSettings, demo: Connection) -> None:
    external = demo.network.find_network("public")
    told(sandbox, "faults", "set", "--floating-ips", "none")
    try:
        with pytest.raises(openstack.exceptions.ConflictException, match="No more IP addresses available"):
            demo.network.create_ip(floating_network_id=external.id)
    finally:
        told(sandbox, "faults", "clear")
    demo.network.delete_ip(demo.network.create_ip(floating_network_id=external.id))
