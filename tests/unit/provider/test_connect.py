"""From configuration to a session, against a small Keystone."""

from __future__ import annotations

import contextlib
import socket
import threading
from pathlib import Path
from typing import Any

import pytest
from keystoneauth1.exceptions import ConnectFailure
from keystoneauth1.session import Session
from pytest_httpserver import HTTPServer

from deployments.sandbox.provider.cloud import CloudError
from deployments.sandbox.provider.connect import connect
from deployments.sandbox.provider.openstack import _connect, servicer

pytestmark = [
    # openstacksdk warns of what it does itself.
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK50Warning"),
    pytest.mark.filterwarnings("ignore::openstack.warnings.RemovedInSDK60Warning"),
]


@pytest.fixture
def keystone(httpserver: HTTPServer, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> HTTPServer:
    url = httpserver.url_for("")
    endpoint = {"interface": "public", "region": "RegionOne", "region_id": "RegionOne", "url": f"{url}/magnum/v1"}
    token = {
        "token": {
            "methods": ["password"],
            "expires_at": "2099-01-01T00:00:00.000000Z",
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "user": {"id": "u", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "roles": [],
            "catalog": [{"type": "container-infra", "name": "magnum", "id": "m", "endpoints": [endpoint]}],
        }
    }
    version = {"version": {"id": "v3.14", "status": "stable", "links": [{"rel": "self", "href": f"{url}/v3/"}]}}
    httpserver.expect_request("/v3").respond_with_json(version)
    httpserver.expect_request("/v3/auth/tokens").respond_with_json(token, 201, {"X-Subject-Token": "secret"})
    (tmp_path / "clouds.yaml").write_text(
        f"clouds:\n  one:\n    region_name: RegionOne\n    auth: {{auth_url: '{url}/v3', username: demo, password: x, "
        "project_name: demo, user_domain_id: default, project_domain_id: default}\n"
    )
    monkeypatch.setenv("OS_CLIENT_CONFIG_FILE", str(tmp_path / "clouds.yaml"))
    return httpserver


def test_a_cloud_by_name(keystone: HTTPServer) -> None:
    keystone.expect_request("/magnum/v1/clusters/c", headers={"X-Auth-Token": "secret"}).respond_with_json(
        {"uuid": "c"}
    )
    cloud = connect({"cloud": "one"}, threading.Event())
    assert cloud.region == "RegionOne"
    assert cloud.get("container-infra", "/clusters/c", microversion="1.9") == {"uuid": "c"}
    keystone.expect_request("/other/clusters/c").respond_with_json({"uuid": "d"})
    overrides = {"container-infra": keystone.url_for("/other/")}
    other = connect({"cloud": "one", "endpoint_overrides": overrides}, threading.Event())
    assert other.get("container-infra", "/clusters/c") == {"uuid": "d"}


def test_a_cloud_by_its_parts(keystone: HTTPServer) -> None:
    keystone.expect_request("/magnum/v1/x").respond_with_json({})
    config: dict[str, Any] = {
        "auth_url": keystone.url_for("/v3"),
        "user_name": "demo",
        "password": "x",
        "tenant_name": "demo",
        "user_domain_id": "default",
        "project_domain_id": "default",
        "region": "RegionOne",
        "insecure": True,
    }
    assert _connect(config, threading.Event()).request("container-infra", "GET", "/x") == {}


def test_a_cloud_nobody_knows(keystone: HTTPServer) -> None:
    with pytest.raises(CloudError, match=r"Error loading OpenStack credentials: .*nowhere"):
        connect({"cloud": "nowhere"}, threading.Event())


def test_a_service_that_is_not_there(keystone: HTTPServer) -> None:
    with pytest.raises(CloudError, match="Error finding the dns service"):
        connect({"cloud": "one"}, threading.Event()).get("dns", "/v2/zones")


def test_wrong_credentials(keystone: HTTPServer) -> None:
    refusal = {"error": {"message": "no", "code": 401}}
    keystone.expect_oneshot_request("/v3/auth/tokens").respond_with_json(refusal, 401)
    with pytest.raises(CloudError, match="Error authenticating") as caught:
        connect({"cloud": "one"}, threading.Event()).request("container-infra", "GET", "/x")
    assert caught.value.status == 401


def test_no_answer(keystone: HTTPServer, monkeypatch: pytest.MonkeyPatch) -> None:
    closed = {"container-infra": "http://127.0.0.1:9"}
    cloud = connect({"cloud": "one", "endpoint_overrides": closed}, threading.Event())
    with pytest.raises(CloudError, match="GET container-infra/x") as caught:
        cloud.request("container-infra", "GET", "/x")
    assert caught.value.status == 0


def test_a_write_whose_answer_is_lost_is_not_sent_again(keystone: HTTPServer) -> None:
    taken: list[bytes] = []
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def take() -> None:
            while True:
                with contextlib.suppress(ConnectionError), listener.accept()[0] as connection:
                    taken.append(connection.recv(65536))
                    if taken[-1].startswith(b"DELETE"):
                        return

        thread = threading.Thread(target=take)
        thread.start()
        lossy = {"container-infra": f"http://127.0.0.1:{listener.getsockname()[1]}"}
        cloud = connect({"cloud": "one", "endpoint_overrides": lossy}, threading.Event())
        for method in ("POST", "DELETE"):
            with pytest.raises(CloudError, match=f"{method} container-infra/clusters"):
                cloud.request("container-infra", method, "/clusters", {})
        thread.join()
    assert [request.split()[0] for request in taken] == [b"POST", b"DELETE"]


def test_keystone_that_does_not_answer_is_asked_again_before_anything_is_written(
    keystone: HTTPServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    keystone.expect_request("/magnum/v1/clusters", "POST").respond_with_json({"uuid": "c"}, 202)
    cloud = connect({"cloud": "one"}, threading.Event())
    monkeypatch.setattr(cloud, "pause", lambda seconds: None)
    tokens = iter([ConnectFailure("reset"), ConnectFailure("reset")])
    sign_in = Session.get_token

    def sometimes(self: Session, auth: Any = None) -> Any:
        for error in tokens:
            raise error
        return sign_in(self, auth)

    monkeypatch.setattr(Session, "get_token", sometimes)
    assert cloud.request("container-infra", "POST", "/clusters", {}) == {"uuid": "c"}


def test_the_provider_offers_what_the_sandbox_needs() -> None:
    schema = servicer().GetProviderSchema(None, None)
    assert len(schema.resource_schemas) == 6
    assert list(schema.data_source_schemas) == ["openstack_dns_zone_v2"]
