"""What only the embedded server has: its own survival, faults, the request log, speed."""

from __future__ import annotations

import json
import time
from collections.abc import Iterator
from pathlib import Path

import httpx
import psutil
import pytest

from deployments.sandbox.envtest import free_port
from tests.conformance.harness import EMBEDDED, Cluster, EmbeddedServer, make_home, write_kubeconfig
from tests.conformance.test_definitions import DEFINITIONS, definition, widget


@pytest.fixture
def server(tmp_path: Path) -> Iterator[EmbeddedServer]:
    home = make_home(tmp_path / "home")
    (home / "cluster.json").write_text('{"name": "dev"}')
    running = EmbeddedServer(home, free_port(), "--faults", str(tmp_path / "faults.json"), "--request-log",
                             str(tmp_path / "requests.jsonl"), "--version", "v1.31.2")  # fmt: skip
    running.start()
    yield running
    running.stop()


@pytest.fixture
def own(server: EmbeddedServer) -> Iterator[Cluster]:
    cluster = Cluster(EMBEDDED, server.url, server.home, write_kubeconfig(server.home, server.url))
    yield cluster
    cluster.close()


def test_survives_being_killed(server: EmbeddedServer, own: Cluster) -> None:
    path = "/api/v1/namespaces/default/configmaps"
    group = "kept.example.com"
    own.post(DEFINITIONS, definition(group))
    own.post(f"/apis/{group}/v1/namespaces/default/widgets", widget(group, "w"))
    made = own.post(path, {"metadata": {"name": "a"}, "data": {"x": "1"}}).json()
    own.post(path, {"metadata": {"name": "b"}})
    own.delete(f"{path}/b")
    before = own.get(path)
    token_request = {"spec": {"expirationSeconds": 3600}}
    own.until(
        lambda: own.request("GET", "/api/v1/namespaces/default/serviceaccounts/default").is_success, "the account"
    )
    token = own.post("/api/v1/namespaces/default/serviceaccounts/default/token", token_request).json()["status"][
        "token"
    ]
    server.stop(kill=True)
    server.start()
    assert own.get(f"{path}/a") == made
    after = own.get(path)
    assert after["items"] == before["items"]
    assert int(after["metadata"]["resourceVersion"]) >= int(before["metadata"]["resourceVersion"])
    assert own.get(f"/apis/{group}/v1/namespaces/default/widgets/w")["spec"]["size"] == 3
    newer = own.post(path, {"metadata": {"name": "c"}}).json()
    assert int(newer["metadata"]["resourceVersion"]) > int(before["metadata"]["resourceVersion"])
    answer = own.as_user("anonymous").get("/apis", headers={"Authorization": f"Bearer {token}"})
    assert answer.status_code == 200
    with own.as_user("admin").stream("GET", f"{path}?watch=true&resourceVersion=2&timeoutSeconds=2") as stream:
        event = json.loads(next(stream.iter_lines()))
    assert (event["type"], event["object"]["code"], event["object"]["reason"]) == ("ERROR", 410, "Expired")


def test_a_restart_finishes_what_was_begun(server: EmbeddedServer, own: Cluster) -> None:
    namespace = own.namespace("going")
    held = {"metadata": {"name": "held", "finalizers": ["example.com/wait"]}}
    own.post(f"/api/v1/namespaces/{namespace}/configmaps", held)
    own.delete(f"/api/v1/namespaces/{namespace}")
    server.stop(kill=True)
    server.start()
    own.patch(f"/api/v1/namespaces/{namespace}/configmaps/held", {"metadata": {"finalizers": None}})
    own.gone(f"/api/v1/namespaces/{namespace}")


def test_reports_the_version_it_is_told(own: Cluster) -> None:
    version = own.get("/version")
    assert (version["gitVersion"], version["major"], version["minor"]) == ("v1.31.2", "1", "31")


def test_faults_strike_and_stop(own: Cluster, tmp_path: Path) -> None:
    def set_faults(**rule: object) -> None:
        document = {"seed": 1, "rules": [{"service": "kubernetes", "rate": 1.0, **rule}]}
        (tmp_path / "faults.json").write_text(json.dumps(document))

    path = "/api/v1/namespaces/default/configmaps"
    set_faults(kinds=["503"], retry_after=3, methods=["POST"], count=1)
    refused = own.post(path, {"metadata": {"name": "x"}})
    assert (refused.status_code, refused.headers["Retry-After"]) == (503, "3")
    assert refused.json()["kind"] == "Status"
    assert own.get(path)
    assert own.post(path, {"metadata": {"name": "x"}}).status_code == 201
    set_faults(kinds=["429"], path="secrets")
    assert own.request("GET", "/api/v1/secrets").status_code == 429
    assert own.request("GET", path).status_code == 200
    set_faults(kinds=["reset"])
    with pytest.raises(httpx.TransportError):
        own.request("GET", path)
    spared = own.as_user("admin").get(path, headers={"User-Agent": "plumbline-sandbox/controllers"})
    assert spared.status_code == 200
    assert own.request("GET", "/readyz").status_code == 200
    set_faults(kinds=["stall"], stall_seconds=0.3)
    begun = time.monotonic()
    assert own.request("GET", path).status_code == 200
    assert time.monotonic() - begun >= 0.3
    (tmp_path / "faults.json").unlink()
    assert own.request("GET", path).status_code == 200


def test_every_request_is_logged(own: Cluster, tmp_path: Path) -> None:
    own.get("/api/v1/namespaces/default/secrets?limit=5")
    own.request("GET", "/api/v1/namespaces/default/secrets/none")
    lines = [json.loads(line) for line in (tmp_path / "requests.jsonl").read_text().splitlines()]
    found = {(line["method"], line["path"], line["status"]) for line in lines}
    assert ("GET", "/api/v1/namespaces/default/secrets?limit=5", 200) in found
    assert ("GET", "/api/v1/namespaces/default/secrets/none", 404) in found
    assert {line["service"] for line in lines} == {"kubernetes/dev"}
    assert all(line["ua"] == "conformance/1.0" for line in lines)


def test_a_thousand_objects_take_little_memory(server: EmbeddedServer, own: Cluster) -> None:
    path = "/apis/apps/v1/namespaces/default/deployments"
    template = {"metadata": {"labels": {"a": "b"}}, "spec": {"containers": [{"name": "c", "image": "i:1"}]}}
    spec = {"selector": {"matchLabels": {"a": "b"}}, "template": template}
    for number in range(1000):
        assert own.post(path, {"metadata": {"name": f"d{number}"}, "spec": spec}).status_code == 201
    listing = own.as_user("admin").get(path)
    assert len(listing.json()["items"]) == 1000
    assert psutil.Process(server.pid).memory_info().rss < 150 * 2**20
