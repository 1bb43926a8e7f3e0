"""The OpenStack client over the real SDK: exact calls, the services' oddities, errors as sentences."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from infra.clients.errors import Conflict, Denied, Failed, InvalidInput, Misconfigured, NotFound, NotYet, Unavailable
from infra.clients.openstack import OpenStackClient
from infra.clients.openstack_leftovers import KINDS, Signs, belongs
from infra.clients.openstack_models import Leftover
from infra.clients.openstack_session import ServiceAbsent

CLUSTER = {"uuid": "c1", "name": "dev", "status": "CREATE_COMPLETE", "api_address": "https://a:6443", "labels": None}
GROUP = {"uuid": "g1", "name": "default-worker", "role": "worker", "node_count": 2, "status": "CREATE_COMPLETE"}
ZONE = {"id": "z1", "name": "dev.example.", "status": "ACTIVE", "ttl": 300, "serial": 7}
RECORD = {"id": "r1", "zone_id": "z1", "name": "*.dev.example.", "type": "A", "records": ["1.2.3.4"], "ttl": 300}
RECORD |= {"status": "ACTIVE", "action": "NONE", "description": "plumbline:dev"}


@pytest.fixture
async def client(cloud: Any, settings: Any, clock: Any) -> Any:
    async with OpenStackClient("sandbox", settings, config_file=cloud.clouds, clock=clock) as client:
        yield client


def answer(cloud: Any, method: str, path: str, *answers: Any) -> None:
    """Answer requests to a path, one answer after the other, the last one for ever."""
    for index, (status, body) in enumerate(answers):
        last = index == len(answers) - 1
        expect = cloud.server.expect_request if last else cloud.server.expect_ordered_request
        expect = cloud.server.expect_request if last else cloud.server.expect_oneshot_request
        expect(path, method=method).respond_with_json(body, status=status)


async def test_compute_reads(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/compute/v2.1/os-keypairs/k", (200, {"keypair": {"name": "k", "fingerprint": "f"}}))
    answer(cloud, "GET", "/compute/v2.1/os-keypairs/none", (404, {}))
    flavors = [{"id": "1", "name": "m1.small", "vcpus": 1, "ram": 2048, "disk": 20}]
    answer(cloud, "GET", "/compute/v2.1/flavors/detail", (200, {"flavors": flavors}))
    assert (await client.compute.keypair("k")).fingerprint == "f"
    assert await client.compute.keypair("none") is None
    assert (await client.compute.flavor("m1.small")).ram_mb == 2048
    assert await client.compute.flavor("m1.huge") is None
    assert cloud.calls("/compute/v2.1")[:2] == ["GET /os-keypairs/k", "GET /os-keypairs/none"]


async def test_limits_know_what_is_free_and_what_is_unknown(cloud: Any, client: Any) -> None:
    absolute = {"maxTotalCores": 10, "totalCoresUsed": 4, "maxTotalInstances": -1, "totalInstancesUsed": 3}
    answer(cloud, "GET", "/compute/v2.1/limits", (200, {"limits": {"absolute": absolute}}))
    answer(cloud, "GET", "/magnum/v1/quotas/p1/Cluster", (200, {"hard_limit": 20}))
    answer(cloud, "GET", "/magnum/v1/clusters", (200, {"clusters": [CLUSTER]}))
    limits = await client.compute.limits()
    assert limits.cores.free == 6
    assert limits.instances.free is None
    assert limits.ram_mb is None
    assert limits.clusters.free == 19
    assert limits.volumes is None
    assert await client.compute.availability_zones("block_storage") is None


async def test_magnum_sends_its_microversion_and_reads_what_the_sdk_hides(cloud: Any, client: Any) -> None:
    body = {**CLUSTER, "status_reason": "why", "faults": {"node": "no host"}, "health_status": "UNHEALTHY"}
    answer(cloud, "GET", "/magnum/v1/clusters/dev", (200, body))
    cluster = await client.magnum.cluster("dev")
    assert (cluster.why, cluster.health_status, cluster.labels) == ("why; node: no host", "UNHEALTHY", {})
    request = cloud.server.log[-1][0]
    assert request.headers["OpenStack-API-Version"] == "container-infra 1.10"
    assert request.headers["X-Auth-Token"] == "tok3n"


async def test_magnums_400_on_a_plain_read_is_waited_out(cloud: Any, client: Any, clock: Any) -> None:
    odd = (400, {"errors": [{"detail": "Invalid input for field master_count. Value: '0'"}]})
    answer(cloud, "GET", "/magnum/v1/clusters/dev", odd, odd, (200, CLUSTER))
    assert (await client.magnum.cluster("dev")).uuid == "c1"
    assert len(clock.slept) == 2


async def test_a_400_that_stays_is_not_yet_rather_than_wrong_input(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/magnum/v1/clusters", (400, {"errors": [{"detail": "odd"}]}))
    with pytest.raises(NotYet, match="odd"):
        await client.magnum.clusters()


async def test_lists_follow_the_next_link(cloud: Any, client: Any) -> None:
    page = {"clusters": [CLUSTER], "next": "http://x/clusters?marker=c1"}
    cloud.server.expect_oneshot_request("/magnum/v1/clusters").respond_with_json(page)
    cloud.server.expect_request("/magnum/v1/clusters", query_string="marker=c1").respond_with_json(
        {"clusters": [{**CLUSTER, "uuid": "c2"}]}
    )
    assert [cluster.uuid for cluster in await client.magnum.clusters()] == ["c1", "c2"]


async def test_deletes_are_idempotent(cloud: Any, client: Any) -> None:
    answer(cloud, "DELETE", "/magnum/v1/clusters/c1", (202, {}), (404, {}))
    assert await client.magnum.delete_cluster("c1") is True
    cloud.server.expect_request("/magnum/v1/clusters/c2", method="DELETE").respond_with_json({}, status=404)
    assert await client.magnum.delete_cluster("c2") is False
    answer(cloud, "DELETE", "/magnum/v1/clustertemplates/t", (400, {"errors": [{"detail": "is referenced"}]}))
    with pytest.raises(Conflict, match="referenced"):
        await client.magnum.delete_template("t")


async def test_a_wildcard_recordset_is_found_exactly_and_left_alone(cloud: Any, client: Any) -> None:
    others = [{**RECORD, "id": "r0", "name": "web.dev.example."}, RECORD]
    answer(cloud, "GET", "/dns/v2/zones/z1/recordsets", (200, {"recordsets": others}))
    found, done = await client.designate.ensure_recordset(
        "z1", "*.DEV.example", "A", ["1.2.3.4"], ttl=300, description="plumbline:dev"
    )
    assert (found.id, done) == ("r1", "unchanged")
    assert cloud.calls("/dns/v2") == ["GET /zones/z1/recordsets?name=%2A.dev.example.&type=A&limit=500"]


async def test_a_recordset_is_created_or_updated_with_one_write(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/dns/v2/zones/z1/recordsets", (200, {"recordsets": []}))
    answer(cloud, "POST", "/dns/v2/zones/z1/recordsets", (202, {**RECORD, "status": "PENDING"}))
    _, done = await client.designate.ensure_recordset("z1", "*.dev.example.", "A", ["1.2.3.4"], ttl=300)
    assert done == "created"
    answer(cloud, "GET", "/dns/v2/zones/z2/recordsets", (200, {"recordsets": [{**RECORD, "zone_id": "z2"}]}))
    answer(cloud, "PUT", "/dns/v2/zones/z2/recordsets/r1", (202, {**RECORD, "records": ["5.6.7.8"]}))
    changed, done = await client.designate.ensure_recordset("z2", "*.dev.example.", "A", ["5.6.7.8"], ttl=300)
    assert (changed.records, done) == (("5.6.7.8",), "updated")


async def test_a_lost_answer_to_a_create_is_looked_after(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/dns/v2/zones/z1/recordsets", (200, {"recordsets": []}), (200, {"recordsets": [RECORD]}))
    answer(cloud, "POST", "/dns/v2/zones/z1/recordsets", (503, {}))
    _, done = await client.designate.ensure_recordset(
        "z1", "*.dev.example.", "A", ["1.2.3.4"], ttl=300, description="plumbline:dev"
    )
    assert done == "unchanged"
    assert len([call for call in cloud.calls("/dns/v2") if call.startswith("POST")]) == 1


async def test_waiting_for_a_recordset(cloud: Any, client: Any) -> None:
    path = "/dns/v2/zones/z1/recordsets/r1"
    states = [(200, {**RECORD, "status": status}) for status in ("PENDING", "ERROR", "ACTIVE")]
    answer(cloud, "GET", path, *states)
    assert (await client.designate.wait_active("z1", "r1", timeout=30)).status == "ACTIVE"
    answer(cloud, "GET", "/dns/v2/zones/z1/recordsets/r2", (404, {}))
    with pytest.raises(Failed, match="deleted"):
        await client.designate.wait_active("z1", "r2", timeout=30)
    await client.designate.wait_deleted("z1", "r2", timeout=1)


async def test_zones_name_servers_and_ttl_bounds(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/dns/v2/zones", (200, {"zones": [ZONE]}))
    servers = [{"hostname": "ns2.example.", "priority": 2}, {"hostname": "ns1.example.", "priority": 1}]
    answer(cloud, "GET", "/dns/v2/zones/z1/nameservers", (200, {"nameservers": servers}))
    answer(cloud, "GET", "/dns/v2/limits", (200, {"min_ttl": 600}))
    assert (await client.designate.zone("dev.example")).id == "z1"
    assert await client.designate.zone("other.example") is None
    assert [server.hostname for server in await client.designate.name_servers("z1")] == ["ns1.example.", "ns2.example."]
    assert (await client.designate.ttl_bounds()).smallest == 600


async def test_a_sweep_names_what_it_found_and_where_it_could_not_look(cloud: Any, client: Any) -> None:
    answer(
        cloud,
        "GET",
        "/magnum/v1/clusters",
        (200, {"clusters": [CLUSTER, {**CLUSTER, "uuid": "c2", "name": "dev-2", "keypair": "k"}]}),
    )
    answer(cloud, "GET", "/magnum/v1/clustertemplates", (403, {}))
    servers = [{"id": "s1", "name": "x", "metadata": {"stack": "st-1"}}, {"id": "s2", "name": "y", "tenant_id": "p2"}]
    answer(cloud, "GET", "/compute/v2.1/servers/detail", (200, {"servers": servers}))
    answer(cloud, "GET", "/compute/v2.1/os-keypairs", (200, {"keypairs": [{"keypair": {"name": "dev"}}]}))
    answer(cloud, "GET", "/dns/v2/recordsets", (200, {"recordsets": [RECORD]}))
    swept = await client.leftovers.find(names=["dev"], marks=["st-1", "plumbline:dev"])
    assert [(item.kind, item.id) for item in swept.found] == [
        ("cluster", "c1"), ("server", "s1"), ("recordset", "r1"), ("keypair", "dev"),
    ]  # fmt: skip
    assert list(swept.not_looked) == ["Magnum (cluster template)"]
    assert swept.absent == ("Cinder", "Neutron", "Octavia")
    answer(cloud, "DELETE", "/dns/v2/zones/z1/recordsets/r1", (202, {}))
    assert await client.leftovers.delete(swept.found[2]) is True
    with pytest.raises(InvalidInput):
        await client.leftovers.delete(Leftover(kind="planet", id="1", why=""))


OWN, EARLIER = "5d9f9a2c-0d0f-4c39-9d8e-0a4f1b2c3d4e", "11111111-0d0f-4c39-9d8e-0a4f1b2c3d4e"
STRANGERS = ("99999999-0d0f-4c39-9d8e-0a4f1b2c3d4e", f"{OWN}0", f"0{OWN}", "dev-2")


def made_for(cluster: str) -> dict[str, list[dict[str, Any]]]:
    """What cloud provider and Cinder driver make for a cluster, as its services list it."""
    service = f"external service web/web from cluster {cluster}"
    mark = {"cinder.csi.openstack.org/cluster": cluster}
    return {
        "loadbalancers": [
            {"id": f"name-{cluster}", "name": f"kube_service_{cluster}_web_web", "description": ""},
            {"id": f"said-{cluster}", "name": "renamed", "description": f"Kubernetes {service}"},
        ],
        "floatingips": [{"id": f"ip-{cluster}", "description": f"Floating IP for Kubernetes {service}"}],
        "security_groups": [
            {
                "id": f"group-{cluster}",
                "name": "lb-sg-1",
                "description": f"Security Group for web/web Service LoadBalancer in cluster {cluster}",
            }
        ],
        "volumes": [{"id": f"volume-{cluster}", "name": "pvc-1", "metadata": mark}],
        "snapshots": [{"id": f"snapshot-{cluster}", "name": "snapshot-1", "metadata": mark}],
    }


async def test_a_sweep_finds_what_was_made_for_a_cluster_by_name_or_uuid_and_no_strangers(
    cloud: Any, client: Any
) -> None:
    session: Any = client.leftovers._session

    async def get(_service: str, path: str, **_: Any) -> dict[str, Any]:
        key = {kind.path: kind.key for kind in KINDS}[path]
        return {key: [row for one in ("dev", OWN, EARLIER, *STRANGERS) for row in made_for(one).get(key, ())]}

    session.get = get
    swept = await client.leftovers.find(names=["dev"], clusters=[OWN, EARLIER], project_only=False)
    ours = {row["id"] for one in ("dev", OWN, EARLIER) for rows in made_for(one).values() for row in rows}
    assert {item.id for item in swept.found} == ours
    assert len(swept.found) == len(ours) == 18
    assert {item.why for item in swept.found if item.id == f"volume-{OWN}"} == {
        f"it was made for a volume claim of cluster {OWN}"
    }


@pytest.mark.parametrize(
    "item",
    [
        {"name": OWN},
        {"name": f"backup of {OWN}"},
        {"description": f"replaces what was made from cluster {OWN} by hand"},
        {"metadata": {"source": OWN}},
        {"name": f"kube_service_{OWN}"},
    ],
)
def test_a_uuid_is_looked_for_only_where_cloud_provider_and_cinder_driver_write_it(item: dict[str, Any]) -> None:
    assert belongs(item, Signs(["dev"], ["dev", OWN])) is None


async def test_errors_are_typed_by_status(cloud: Any, client: Any) -> None:
    for status, kind in ((403, Denied), (409, Conflict), (400, InvalidInput), (500, Unavailable)):
        answer(cloud, "POST", f"/dns/v2/{status}", (status, {"message": "token=abc is why"}))
        with pytest.raises(kind, match=r"token=\*\*\*"):
            await client.session.send("dns", "POST", f"/{status}", json={})
    inner = {"errors": [{"status": 403, "detail": "unexpected client error occurred: No endpoint data found."}]}
    answer(cloud, "POST", "/magnum/v1/certificates", (403, inner))
    with pytest.raises(Unavailable, match="No endpoint data found"):
        await client.session.send("container_infrastructure_management", "POST", "/certificates", json={})
    with pytest.raises(ServiceAbsent):
        await client.session.get("load_balancer", "/x")


async def test_a_read_outlives_a_blip_and_a_throttle(cloud: Any, client: Any, clock: Any) -> None:
    cloud.server.expect_oneshot_request("/dns/v2/zones").respond_with_data("", status=503)
    cloud.server.expect_oneshot_request("/dns/v2/zones").respond_with_data("", status=429, headers={"Retry-After": "2"})
    answer(cloud, "GET", "/dns/v2/zones", (200, {"zones": []}))
    assert await client.designate.zones() == ()
    assert clock.slept[-1] == 2


async def test_wrong_password_unknown_cloud_and_missing_file(
    cloud: Any, settings: Any, tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    cloud.clouds.write_text(cloud.clouds.read_text().replace("p4ssw0rd", "wrong"))
    async with OpenStackClient("sandbox", settings, config_file=cloud.clouds) as client:
        with pytest.raises(Denied, match=r"clouds\.yaml"):
            await client.authorize()
    async with OpenStackClient("nowhere", settings, config_file=cloud.clouds) as client:
        with pytest.raises(Misconfigured, match="It has: sandbox"):
            await client.authorize()
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "missing.yaml"))
    async with OpenStackClient("sandbox", settings) as client:
        with pytest.raises(Misconfigured, match=r"missing\.yaml"):
            await client.authorize()


async def test_keystone_away_is_unavailable(settings: Any, tmp_path: Any, clock: Any) -> None:
    file = tmp_path / "clouds.yaml"
    file.write_text(
        "clouds: {c: {auth: {auth_url: 'http://127.0.0.1:9/v3', username: u, password: p, project_name: p,"
        " user_domain_id: default, project_domain_id: default}}}"
    )
    async with OpenStackClient("c", settings, config_file=file, clock=clock) as client:
        with pytest.raises(Unavailable):
            await client.authorize()
    assert len(clock.slept) == 3


async def test_the_project_and_parallel_first_requests(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/magnum/v1/clusters", (200, {"clusters": []}))
    assert await client.project_id() == "p1"
    assert await asyncio.gather(*(client.magnum.clusters() for _ in range(6))) == [()] * 6


async def test_images_templates_zones_and_what_compute_deletes(cloud: Any, client: Any) -> None:
    image = {"id": "i1", "name": "fcos", "status": "queued", "os_distro": "fedora-coreos"}
    images = {"images": [image, {**image, "id": "i2", "status": "active"}]}
    cloud.server.expect_request("/image/v2/images", query_string="limit=200&name=fcos").respond_with_json(images)
    cloud.server.expect_request("/image/v2/images").respond_with_json({"images": []})
    answer(cloud, "GET", "/image/v2/images/i1", (200, image))
    assert (await client.compute.image("fcos")).id == "i2"
    assert (await client.compute.image("i1")).os_distro == "fedora-coreos"
    zones = [{"zoneName": name, "zoneState": {"available": name == "nova"}} for name in ("nova", "down")]
    answer(cloud, "GET", "/compute/v2.1/os-availability-zone", (200, {"availabilityZoneInfo": zones}))
    assert await client.compute.availability_zones() == ("nova",)
    answer(cloud, "DELETE", "/compute/v2.1/os-keypairs/k", (202, {}))
    assert await client.compute.delete_keypair("k") is True
    answer(cloud, "GET", "/compute/v2.1/os-keypairs", (200, {"keypairs": [{"keypair": {"name": "k"}}]}))
    assert [item.name for item in await client.compute.keypairs()] == ["k"]
    template = {"uuid": "t1", "name": "t", "labels": {"kube_tag": "v1"}}
    answer(cloud, "GET", "/magnum/v1/clustertemplates/t", (200, template))
    answer(cloud, "GET", "/magnum/v1/clustertemplates", (200, {"clustertemplates": [template]}))
    assert (await client.magnum.template("t")).labels == {"kube_tag": "v1"}
    assert [item.uuid for item in await client.magnum.templates()] == ["t1"]


async def test_node_groups_and_certificates(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/magnum/v1/clusters/c1/nodegroups", (200, {"nodegroups": [GROUP]}))
    answer(cloud, "GET", "/magnum/v1/clusters/c1/nodegroups/default-worker", (200, {**GROUP, "node_addresses": ["a"]}))
    answer(cloud, "DELETE", "/magnum/v1/clusters/c1/nodegroups/build", (404, {}))
    answer(cloud, "GET", "/magnum/v1/clusters/none/nodegroups", (404, {}))
    assert (await client.magnum.node_groups("c1"))[0].node_addresses == ("a",)
    assert await client.magnum.delete_node_group("c1", "build") is False
    with pytest.raises(NotFound):
        await client.magnum.node_groups("none")
    answer(cloud, "GET", "/magnum/v1/certificates/c1", (200, {"pem": "CA"}))
    answer(cloud, "GET", "/magnum/v1/certificates/c2", (404, {}))
    body = {"cluster_uuid": "c1", "csr": "CSR"}
    cloud.server.expect_request("/magnum/v1/certificates", method="POST", json=body).respond_with_json({"pem": "CERT"})
    assert await client.magnum.ca_certificate("c1") == "CA"
    assert await client.magnum.sign("c1", "CSR") == "CERT"
    with pytest.raises(NotFound):
        await client.magnum.ca_certificate("c2")


async def test_an_old_magnum_is_a_sentence(cloud: Any, client: Any) -> None:
    answer(cloud, "GET", "/magnum/v1/clusters/dev", (406, {"errors": [{"detail": "Version 1.10 is not supported"}]}))
    with pytest.raises(Misconfigured, match="Victoria"):
        await client.magnum.cluster("dev")


@pytest.mark.parametrize(
    ("credential", "restricted"),
    [
        (None, None),
        ({"id": "a1", "name": "ci", "restricted": True}, "ci"),
        ({"id": "a1", "restricted": True}, "a1"),
        ({"id": "a1", "name": "ci", "restricted": False}, None),
        ({"id": "a1", "name": "ci"}, None),
    ],
)
async def test_a_restricted_application_credential_is_read_from_the_token(
    cloud: Any, client: Any, credential: dict[str, Any] | None, restricted: str | None
) -> None:
    cloud.signed_in_with = {"application_credential": credential} if credential else {}
    assert await client.restricted_credential() == restricted
    assert cloud.calls("/identity/v3") == ["GET ", "POST /auth/tokens"]
