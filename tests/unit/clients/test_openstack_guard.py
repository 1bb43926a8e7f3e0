"""A client that only looks: reads, sign-in and one signature leave it, and nothing else does."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

import pytest

from infra.clients import openstack_guard
from infra.clients.errors import Refused
from infra.clients.openstack import OpenStackClient
from infra.clients.openstack_models import Leftover

CLUSTER = {"uuid": "c1", "name": "dev", "status": "CREATE_COMPLETE", "labels": None}


@pytest.fixture
async def looking(cloud: Any, settings: Any, clock: Any) -> Any:
    async with OpenStackClient("sandbox", settings, config_file=cloud.clouds, clock=clock, read_only=True) as client:
        yield client


WRITES: dict[str, Callable[[OpenStackClient], Awaitable[Any]]] = {
    "DELETE /os-keypairs/k": lambda cloud: cloud.compute.delete_keypair("k"),
    "DELETE /clustertemplates/t": lambda cloud: cloud.magnum.delete_template("t"),
    "DELETE /clusters/c1": lambda cloud: cloud.magnum.delete_cluster("c1"),
    "DELETE /clusters/c1/nodegroups/g": lambda cloud: cloud.magnum.delete_node_group("c1", "g"),
    "DELETE /zones/z/recordsets/r": lambda cloud: cloud.designate.delete_recordset("z", "r"),
    "DELETE /volumes/v": lambda cloud: cloud.leftovers.delete(Leftover(kind="volume", id="v", why="")),
    "PATCH /certificates/c1": lambda cloud: cloud.session.send(
        "container_infrastructure_management", "PATCH", "/certificates/c1"
    ),
    "POST /zones": lambda cloud: cloud.session.send("dns", "POST", "/zones", json={}),
}


@pytest.mark.parametrize("refused", WRITES)
async def test_no_write_leaves_a_client_that_only_looks(cloud: Any, looking: OpenStackClient, refused: str) -> None:
    with pytest.raises(Refused, match=f"only looks: {refused} was not sent"):
        await WRITES[refused](looking)
    assert cloud.server.log == []


async def test_it_reads_and_has_certificates_signed(cloud: Any, looking: OpenStackClient) -> None:
    cloud.server.expect_request("/magnum/v1/clusters/dev", method="GET").respond_with_json(CLUSTER)
    cloud.server.expect_request("/magnum/v1/certificates", method="POST").respond_with_json({"pem": "signed"}, 201)
    found = await looking.magnum.cluster("dev")
    assert found is not None and found.uuid == "c1"
    assert await looking.magnum.sign("c1", "csr") == "signed"
    assert await looking.user_id() == "u1"


async def test_what_the_sdk_sends_itself_is_held_back_too(cloud: Any, looking: OpenStackClient) -> None:
    await looking.authorize()
    connection = looking.session._connect()
    with pytest.raises(Refused, match=r"DELETE /compute/v2\.1/os-keypairs/k was not sent"):
        connection.compute.delete_keypair("k")
    assert [call for call in cloud.calls("/compute/v2.1") if call.startswith("DELETE")] == []


@pytest.mark.parametrize(
    ("method", "url", "passes"),
    [
        ("GET", "https://magnum/v1/clusters", True),
        ("HEAD", "https://glance/v2/images", True),
        ("POST", "https://keystone/v3/auth/tokens", True),
        ("POST", "https://cloud/identity/v3/auth/tokens?nocatalog", True),
        ("POST", "https://cloud/container-infra/v1/certificates", True),
        ("PATCH", "https://magnum/v1/certificates", False),
        ("POST", "https://magnum/v1/certificates/c1", False),
        ("POST", "https://magnum/v1/clusters", False),
        ("DELETE", "https://keystone/v3/auth/tokens", False),
        ("PUT", "https://designate/v2/zones/z", False),
    ],
)
def test_the_wire_lets_pass(method: str, url: str, passes: bool) -> None:
    if passes:
        openstack_guard.check_url(method, url)
        return
    with pytest.raises(Refused):
        openstack_guard.check_url(method, url)
