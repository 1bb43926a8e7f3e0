"""The Kubernetes client over real HTTP: exact requests, pages, refusals."""

from __future__ import annotations

import base64
import json
import re
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Response

from deployments.sandbox.controllers import x509
from infra.clients.errors import (
    Conflict,
    DeadlineExceeded,
    Denied,
    InvalidInput,
    Misconfigured,
    NotFound,
    Refused,
    Throttled,
    Unavailable,
)
from infra.clients.kubernetes import KubernetesClient, UnknownKind, WebhookUnavailable
from infra.clients.kubernetes_transport import USER_AGENT, Expired

CORE = [
    {"name": "configmaps", "kind": "ConfigMap", "namespaced": True, "verbs": ["list", "get"]},
    {"name": "nodes", "kind": "Node", "namespaced": False, "verbs": ["list"]},
    {"name": "nodes/status", "kind": "Node", "namespaced": False, "verbs": ["get"]},
]
ITEM = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "c", "namespace": "ns"}, "data": {"a": "b"}}


@pytest.fixture
async def client(httpserver: HTTPServer, kubeconfig: Path, settings: Any, clock: Any) -> Any:
    httpserver.expect_request("/api/v1").respond_with_json({"resources": CORE})
    async with KubernetesClient(kubeconfig, settings, clock=clock) as client:
        yield client


def calls(server: HTTPServer) -> list[str]:
    lines = []
    for request, _ in server.log:
        query = request.query_string.decode()
        lines.append(f"{request.method} {request.path}{'?' + query if query else ''}")
    return lines


def status(code: int, message: str, reason: str = "") -> Response:
    return Response(json.dumps({"kind": "Status", "message": message, "reason": reason}), code)


def point_to(kubeconfig: Path, old: int, new: int) -> None:
    kubeconfig.write_text(kubeconfig.read_text().replace(str(old), str(new)))


async def test_get_is_none_for_what_is_absent_and_discovery_is_cached(httpserver: HTTPServer, client: Any) -> None:
    httpserver.expect_request("/api/v1/namespaces/ns/configmaps/c").respond_with_json(ITEM)
    httpserver.expect_request("/api/v1/namespaces/default/configmaps/no").respond_with_response(status(404, "no"))
    httpserver.expect_request("/apis/x.io/v1").respond_with_response(status(404, "no group"))
    assert (await client.get_like(ITEM))["data"] == {"a": "b"}
    assert await client.get("v1", "ConfigMap", "no") is None
    assert await client.get("x.io/v1", "Thing", "t") is None
    assert calls(httpserver).count("GET /api/v1") == 1
    request = httpserver.log[0][0]
    assert request.headers["User-Agent"] == USER_AGENT
    assert request.headers["Authorization"] == "Bearer t0k3n-of-the-test"


async def test_a_kind_that_appears_later_is_found(httpserver: HTTPServer, client: Any) -> None:
    httpserver.expect_oneshot_request("/apis/x.io/v1").respond_with_response(status(404, "no group"))
    assert await client.list("x.io/v1", "Thing") == []
    thing = {"name": "things", "kind": "Thing", "namespaced": False, "verbs": ["list"]}
    httpserver.expect_request("/apis/x.io/v1").respond_with_json({"resources": [thing]})
    httpserver.expect_request("/apis/x.io/v1/things").respond_with_json({"items": [{"metadata": {"name": "t"}}]})
    assert await client.list("x.io/v1", "Thing") == [
        {"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}}
    ]
    assert (await client.resource("x.io/v1", "Thing")).plural == "things"


async def test_list_reads_every_page_and_begins_again_when_the_token_expired(
    httpserver: HTTPServer, client: Any
) -> None:
    path = "/api/v1/namespaces/ns/configmaps"
    first = {"items": [{"metadata": {"name": "1"}}], "metadata": {"continue": "t1"}}
    query = {"limit": "500", "labelSelector": "app=x"}
    httpserver.expect_request(path, query_string=query).respond_with_json(first)
    expired = {**query, "continue": "t1"}
    httpserver.expect_oneshot_request(path, query_string=expired).respond_with_response(
        status(410, "too old", "Expired")
    )
    httpserver.expect_request(path, query_string=expired).respond_with_json({"items": [{"metadata": {"name": "2"}}]})
    found = await client.list("v1", "ConfigMap", "ns", label_selector="app=x")
    assert [item["metadata"]["name"] for item in found] == ["1", "2"]
    assert len(calls(httpserver)) == 1 + 4
    httpserver.expect_request("/always").respond_with_response(status(410, "too old", "Expired"))
    with pytest.raises(Expired):
        await client.list_raw("/always")
    assert calls(httpserver).count("GET /always?limit=500") == 4


async def test_apply_create_patch_replace_delete_send_exactly_this(httpserver: HTTPServer, client: Any) -> None:
    path = "/api/v1/namespaces/ns/configmaps"
    for method in ("PATCH", "PUT", "DELETE"):
        httpserver.expect_request(f"{path}/c", method=method).respond_with_json(ITEM)
    httpserver.expect_request(path, method="POST").respond_with_json(ITEM, status=201)
    await client.apply(ITEM, dry_run=True)
    await client.create(ITEM)
    await client.patch("v1", "ConfigMap", "c", [{"op": "remove", "path": "/data"}], "ns", type="json")
    await client.replace(ITEM)
    assert await client.delete("v1", "ConfigMap", "c", "ns", uid="u1", propagation="Foreground") is True
    assert calls(httpserver)[1:] == [
        f"PATCH {path}/c?fieldManager=plumbline&force=true&dryRun=All",
        f"POST {path}?fieldManager=plumbline",
        f"PATCH {path}/c?fieldManager=plumbline",
        f"PUT {path}/c?fieldManager=plumbline",
        f"DELETE {path}/c",
    ]
    requests = [request for request, _ in httpserver.log[1:]]
    assert [request.headers["Content-Type"] for request in requests] == [
        "application/apply-patch+yaml", "application/json", "application/json-patch+json", "application/json",
        "application/json",
    ]  # fmt: skip
    assert requests[0].get_data(as_text=True) == json.dumps(ITEM)
    assert requests[4].get_json()["preconditions"] == {"uid": "u1"}


async def test_deleting_what_is_gone_is_fine(httpserver: HTTPServer, client: Any) -> None:
    httpserver.expect_request("/api/v1/nodes/n", method="DELETE").respond_with_response(status(404, "gone"))
    httpserver.expect_request("/apis/x.io/v1").respond_with_response(status(404, "no group"))
    assert await client.delete("v1", "Node", "n") is False
    assert await client.delete("x.io/v1", "Thing", "t") is False


async def test_a_guarded_client_lets_only_reads_and_dry_runs_through(
    httpserver: HTTPServer, kubeconfig: Path, settings: Any
) -> None:
    httpserver.expect_request("/api/v1").respond_with_json({"resources": CORE})
    path = "/api/v1/namespaces/ns/configmaps/c"
    httpserver.expect_request(path).respond_with_json(ITEM)
    async with KubernetesClient(kubeconfig, settings, read_only=True) as client:
        await client.apply(ITEM, dry_run=True)
        await client.delete("v1", "ConfigMap", "c", "ns", dry_run=True)
        before = len(httpserver.log)
        for write in (
            client.apply(ITEM),
            client.create(ITEM),
            client.replace(ITEM),
            client.delete("v1", "ConfigMap", "c"),
        ):
            with pytest.raises(Refused):
                await write
        assert len(httpserver.log) == before


async def test_a_guarded_client_lists_what_another_gets(
    httpserver: HTTPServer, kubeconfig: Path, settings: Any
) -> None:
    httpserver.expect_request("/api/v1").respond_with_json({"resources": CORE})
    bare = {key: value for key, value in ITEM.items() if key not in ("apiVersion", "kind")}
    path = "/api/v1/namespaces/ns/configmaps"
    for name, items in (("c", [bare]), ("d", [])):
        query = {"limit": "500", "fieldSelector": f"metadata.name={name}"}
        httpserver.expect_request(path, query_string=query).respond_with_json({"items": items})
    async with KubernetesClient(kubeconfig, settings, read_only=True) as client:
        assert await client.get("v1", "ConfigMap", "c", "ns") == ITEM
        assert await client.get("v1", "ConfigMap", "d", "ns") is None
    assert not [call for call in calls(httpserver) if call.startswith(f"GET {path}/")]


@pytest.mark.parametrize(
    ("code", "message", "kind"),
    [
        (401, "Unauthorized", Denied),
        (403, "forbidden", Denied),
        (409, "the object has been modified", Conflict),
        (422, "spec is invalid", InvalidInput),
        (403, 'admission webhook "x" denied the request: no', InvalidInput),
        (500, 'Internal error occurred: failed calling webhook "w": connect refused', WebhookUnavailable),
        (404, "not found", NotFound),
        (500, "etcdserver: request timed out", Unavailable),
    ],
)
async def test_refusals_are_typed(httpserver: HTTPServer, client: Any, code: int, message: str, kind: Any) -> None:
    httpserver.expect_request("/api/v1/nodes/n", method="PATCH").respond_with_response(status(code, message, "R"))
    with pytest.raises(kind) as caught:
        await client.patch("v1", "Node", "n", {})
    assert type(caught.value) is kind
    assert message.split(":", maxsplit=1)[0] in str(caught.value)
    assert caught.value.category == kind.category


async def test_unknown_kinds_and_shapeless_objects(httpserver: HTTPServer, client: Any) -> None:
    httpserver.expect_request("/apis/x.io/v1").respond_with_response(status(404, "no group"))
    with pytest.raises(UnknownKind):
        await client.apply({"apiVersion": "x.io/v1", "kind": "Thing", "metadata": {"name": "t"}})
    with pytest.raises(InvalidInput, match="kind"):
        await client.create({"apiVersion": "v1", "metadata": {}})


async def test_throttled_writes_are_repeated_and_lost_creates_are_not(
    httpserver: HTTPServer, client: Any, clock: Any
) -> None:
    path = "/api/v1/namespaces/ns/configmaps"
    slow = Response("{}", 429, {"Retry-After": "3"})
    httpserver.expect_oneshot_request(path, method="POST").respond_with_response(slow)
    httpserver.expect_oneshot_request(path, method="POST").respond_with_json(ITEM)
    await client.create(ITEM)
    assert clock.slept == [3]
    httpserver.expect_request(path, method="POST").respond_with_response(status(503, "later"))
    with pytest.raises(Unavailable):
        await client.create(ITEM)
    assert clock.slept == [3]
    long = Response("{}", 429, {"Retry-After": "300"})
    httpserver.expect_request("/version").respond_with_response(long)
    with pytest.raises(Throttled):
        await client.version()


async def test_wait_deleted_names_the_finalizers(httpserver: HTTPServer, client: Any) -> None:
    held = {**ITEM, "metadata": {"name": "c", "uid": "u1", "finalizers": ["x.io/hold"]}}
    httpserver.expect_request("/api/v1/namespaces/ns/configmaps/c").respond_with_json(held)
    await client.wait_deleted("v1", "ConfigMap", "c", "ns", timeout=1, uid="another")
    with pytest.raises(DeadlineExceeded, match=r"x\.io/hold"):
        await client.wait_deleted("v1", "ConfigMap", "c", "ns", timeout=3, uid="u1")


async def test_version_nodes_raw_and_all_resources(httpserver: HTTPServer, client: Any) -> None:
    httpserver.expect_request("/version").respond_with_json({"gitVersion": "v1.33.4"})
    httpserver.expect_request("/readyz").respond_with_data("ok", content_type="text/plain")
    httpserver.expect_request("/api/v1/nodes").respond_with_json({"items": None, "metadata": {}})
    httpserver.expect_request("/apis").respond_with_json({"groups": []})
    assert await client.version() == "v1.33.4"
    assert await client.raw("/readyz") == "ok"
    assert await client.nodes() == []
    assert [item.kind for item in await client.resources()] == ["ConfigMap", "Node"]


@pytest.mark.parametrize(("emulated", "said"), [("33", "v1.36.3 (as 1.33)"), ("36", "v1.36.3")])
async def test_a_server_that_behaves_as_an_older_one_says_so(
    httpserver: HTTPServer, client: Any, emulated: str, said: str
) -> None:
    answer = {"major": "1", "minor": "36", "emulationMajor": "1", "emulationMinor": emulated, "gitVersion": "v1.36.3"}
    httpserver.expect_request("/version").respond_with_json(answer)
    assert await client.version() == said


async def test_an_answer_that_broke_off_and_a_server_that_is_away(
    httpserver: HTTPServer, client: Any, kubeconfig: Path, settings: Any, clock: Any
) -> None:
    httpserver.expect_request("/version").respond_with_data('{"git', content_type="application/json")
    with pytest.raises(Unavailable, match="broke off"):
        await client.version()
    point_to(kubeconfig, httpserver.port, 9)
    async with KubernetesClient(kubeconfig, settings, clock=clock) as away:
        with pytest.raises(Unavailable, match="did not answer"):
            await away.version()


def test_kubeconfigs_that_cannot_be_used(tmp_path: Path, settings: Any) -> None:
    file = tmp_path / "k"
    good = (
        "clusters: [{name: c, cluster: {server: 'https://h'}}]\nusers: [{name: u, user: {%s}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: %s\n"
    )
    for text, why in (
        (good % ("exec: {}", "x"), "program"),
        (good % ("", "y"), "lacks"),
        ("a: [", "read"),
        ("", "lacks"),
    ):
        file.write_text(text)
        with pytest.raises(Misconfigured, match=why):
            KubernetesClient(file, settings)
    with pytest.raises(Misconfigured, match="read"):
        KubernetesClient(tmp_path / "missing", settings)


def test_inline_keys_live_in_a_private_file_until_the_client_closes(tmp_path: Path, settings: Any) -> None:
    file = tmp_path / "k"
    key = base64.b64encode(b"not a key").decode()
    file.write_text(
        "clusters: [{name: c, cluster: {server: 'http://h'}}]\n"
        f"users: [{{name: u, user: {{client-key-data: {key}}}}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
    )
    client = KubernetesClient(file, settings)
    (written,) = (settings.state_dir / "private").rglob("client-key")
    assert written.stat().st_mode & 0o777 == 0o600
    client.close()
    assert not written.exists()


def secured(kubeconfig: Path, *, days: int) -> HTTPServer:
    """A server with a certificate that ends in so many days; only one that has ended is of the kubeconfig's CA."""
    key = x509.generate_key()
    root = x509.self_sign(key, x509.Subject("the cluster's", is_ca=True), timedelta(days=9))
    authority = x509.Authority(root, key if days < 0 else x509.generate_key())
    subject = x509.Subject("api", dns_names=["localhost"], ip_addresses=["127.0.0.1"])
    began = datetime.now(UTC) + timedelta(days=days - 90)
    leaf = x509.sign(authority, key.public_key(), subject, timedelta(days=90), now=began)
    server = HTTPServer(ssl_context=x509.server_context(x509.pem(leaf), x509.key_pem(key)))
    server.start()
    bundle = kubeconfig.with_name("ca.crt")
    bundle.write_bytes(x509.pem(root))
    address = f"server: '{server.url_for('').rstrip('/')}', certificate-authority: {bundle}"
    kubeconfig.write_text(re.sub(r"server: '[^']*'", address, kubeconfig.read_text()))
    return server


@pytest.mark.parametrize(("days", "why"), [(-1, "serves a certificate that has expired"), (1, "did not sign")])
async def test_an_expired_certificate_is_not_called_a_strangers(
    kubeconfig: Path, settings: Any, days: int, why: str
) -> None:
    server = secured(kubeconfig, days=days)
    try:
        async with KubernetesClient(kubeconfig, settings) as client:
            with pytest.raises(Misconfigured, match=why):
                await client.list("v1", "Node")
    finally:
        server.stop()  # type: ignore[no-untyped-call]
