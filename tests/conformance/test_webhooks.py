"""Admission webhooks: called, obeyed, verified, survived."""

from __future__ import annotations

import base64
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest

from tests.conformance.harness import EMBEDDED, Authority, Cluster

Object = dict[str, Any]
HOOKS = "/apis/admissionregistration.k8s.io/v1"


class Hook:
    """A webhook server on 127.96.0.x, so that a Service's clusterIP can point at it."""

    def __init__(self, folder: Path, address: str) -> None:
        self.reviews: list[Object] = []
        self.address = address
        authority = Authority(folder)
        self.names = ("hook.default.svc", address)
        authority.issue("hook", "hook", hosts=self.names)
        self.bundle = base64.b64encode((folder / "ca.crt").read_bytes()).decode()
        self.answer: Any = lambda request: {"allowed": True}
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                review = json.loads(body)
                outer.reviews.append(review["request"])
                response = {"uid": review["request"]["uid"], **outer.answer(review["request"])}
                data = json.dumps(
                    {"apiVersion": "admission.k8s.io/v1", "kind": "AdmissionReview", "response": response}
                ).encode()
                self.send_response(200)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                """Tests are quiet."""

        self._server = ThreadingHTTPServer((address, 0), Handler)
        self._server.daemon_threads = True
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(folder / "hook.crt", folder / "hook.key")
        self._server.socket = context.wrap_socket(self._server.socket, server_side=True)
        self.port = self._server.server_address[1]
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.05})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
        self._thread.join()


@pytest.fixture
def hook(tmp_path: Path, cluster: Cluster) -> Iterator[Hook]:
    served = Hook(tmp_path / "hook", "127.96.200.7")
    yield served
    served.close()


@pytest.fixture
def label(cluster: Cluster, namespace: str) -> str:
    """A label only the test's namespace has, so that tests do not disturb each other."""
    cluster.patch(f"/api/v1/namespaces/{namespace}", {"metadata": {"labels": {"hooked": namespace}}})
    return namespace


def configure(cluster: Cluster, kind: str, label: str, client: Object, **extra: Any) -> str:
    """Register a webhook for config maps of the labelled namespace; returns its path."""
    name = f"h-{uuid4().hex[:8]}"
    spec = {
        "name": "hook.example.com",
        "admissionReviewVersions": ["v1"],
        "sideEffects": "None",
        "timeoutSeconds": 2,
        "clientConfig": client,
        "namespaceSelector": {"matchLabels": {"hooked": label}},
        "rules": [{"apiGroups": [""], "apiVersions": ["v1"], "operations": ["*"], "resources": ["configmaps"]}],
        **extra,
    }
    assert cluster.post(f"{HOOKS}/{kind}", {"metadata": {"name": name}, "webhooks": [spec]}).status_code == 201
    return f"{HOOKS}/{kind}/{name}"


def effective(cluster: Cluster, path: str, wanted: Any) -> Any:
    """Create until the answer is as wanted: the real server takes a moment to notice a new configuration."""
    answers = []

    def tried() -> bool:
        answers.append(cluster.post(path, {"metadata": {"generateName": "x-"}, "data": {"a": "1"}}))
        return bool(wanted(answers[-1]))

    cluster.until(tried, "the webhook to take effect")
    return answers[-1]


def test_validating_webhook_denies(cluster: Cluster, label: str, hook: Hook) -> None:
    hook.answer = lambda request: {"allowed": False, "status": {"code": 403, "message": "not on a Friday"}}
    client = {"url": f"https://{hook.address}:{hook.port}/validate", "caBundle": hook.bundle}
    place = configure(cluster, "validatingwebhookconfigurations", label, client)
    path = f"/api/v1/namespaces/{label}/configmaps"
    try:
        refused = effective(cluster, path, lambda answer: answer.status_code != 201)
        assert refused.status_code == 403
        assert refused.json()["message"] == 'admission webhook "hook.example.com" denied the request: not on a Friday'
        request = hook.reviews[-1]
        assert request["operation"] == "CREATE" and request["namespace"] == label
        assert request["kind"] == {"group": "", "version": "v1", "kind": "ConfigMap"}
        assert request["object"]["data"] == {"a": "1"} and request["oldObject"] is None
        assert request["userInfo"]["username"] == "admin" and request["dryRun"] is False
        assert cluster.post(f"{path}?dryRun=All", {"metadata": {"name": "d"}}).status_code == 403
        assert hook.reviews[-1]["dryRun"] is True
    finally:
        cluster.delete(place)


def test_mutating_webhook_by_service(cluster: Cluster, label: str, hook: Hook) -> None:
    operations = [
        {"op": "add", "path": "/data/added", "value": "by hook"},
        {"op": "add", "path": "/metadata/labels", "value": {"h": "1"}},
    ]
    patch = base64.b64encode(json.dumps(operations).encode()).decode()
    hook.answer = lambda request: (
        {"allowed": True} | ({"patchType": "JSONPatch", "patch": patch} if request["operation"] == "CREATE" else {})
    )
    services = "/api/v1/namespaces/default/services"
    spec = {"clusterIP": hook.address, "ports": [{"port": hook.port}]}
    assert cluster.post(services, {"metadata": {"name": "hook"}, "spec": spec}).status_code == 201
    client = {
        "service": {"name": "hook", "namespace": "default", "path": "/mutate", "port": hook.port},
        "caBundle": hook.bundle,
    }
    place = configure(cluster, "mutatingwebhookconfigurations", label, client)
    path = f"/api/v1/namespaces/{label}/configmaps"
    try:
        made = effective(cluster, path, lambda answer: answer.is_success and "added" in answer.json()["data"]).json()
        assert made["data"] == {"a": "1", "added": "by hook"} and made["metadata"]["labels"] == {"h": "1"}
        if cluster.name == EMBEDDED:
            # What a webhook adds is the request's manager's since 1.21.
            assert "f:added" in json.dumps(made["metadata"]["managedFields"])
        name = f"{path}/{made['metadata']['name']}"
        cluster.patch(name, {"data": {"a": "2"}})
        assert hook.reviews[-1]["operation"] == "UPDATE"
        assert hook.reviews[-1]["oldObject"]["data"]["a"] == "1" and hook.reviews[-1]["object"]["data"]["a"] == "2"
        cluster.delete(name)
        assert hook.reviews[-1]["operation"] == "DELETE" and hook.reviews[-1]["oldObject"]["data"]["a"] == "2"
    finally:
        cluster.delete(place)
        cluster.delete(f"{services}/hook")


def test_object_selector_and_scope(cluster: Cluster, label: str, hook: Hook) -> None:
    hook.answer = lambda request: {"allowed": False}
    client = {"url": f"https://{hook.address}:{hook.port}/", "caBundle": hook.bundle}
    place = configure(
        cluster, "validatingwebhookconfigurations", label, client, objectSelector={"matchLabels": {"watch": "me"}}
    )
    path = f"/api/v1/namespaces/{label}/configmaps"
    try:
        body = {"metadata": {"generateName": "x-", "labels": {"watch": "me"}}}
        cluster.until(lambda: cluster.post(path, body).status_code == 400, "the webhook to take effect")
        assert cluster.post(path, {"metadata": {"name": "free"}}).status_code == 201
        assert cluster.post(f"/api/v1/namespaces/{label}/secrets", body).status_code == 201
        other = "/api/v1/namespaces/default/configmaps"
        assert cluster.post(other, body).status_code == 201
    finally:
        cluster.delete(place)


@pytest.mark.parametrize("fault", ["nobody listens", "no service", "wrong authority"])
def test_a_webhook_that_cannot_be_called(cluster: Cluster, label: str, hook: Hook, tmp_path: Path, fault: str) -> None:
    Authority(tmp_path / "other")
    bundle = base64.b64encode((tmp_path / "other" / "ca.crt").read_bytes()).decode()
    clients: dict[str, Object] = {
        "nobody listens": {"url": "https://127.0.0.1:1/", "caBundle": hook.bundle},
        "no service": {"service": {"name": "absent", "namespace": "default"}, "caBundle": hook.bundle},
        "wrong authority": {"url": f"https://{hook.address}:{hook.port}/", "caBundle": bundle},
    }
    words = {
        "nobody listens": "connect: connection refused",
        "no service": 'service "absent" not found',
        "wrong authority": "x509: ",
    }
    place = configure(cluster, "validatingwebhookconfigurations", label, clients[fault])
    path = f"/api/v1/namespaces/{label}/configmaps"
    try:
        refused = effective(cluster, path, lambda answer: answer.status_code != 201)
        message = refused.json()["message"]
        assert refused.status_code == 500
        assert message.startswith('Internal error occurred: failed calling webhook "hook.example.com": ')
        assert words[fault] in message
        cluster.patch(
            place,
            [{"op": "replace", "path": "/webhooks/0/failurePolicy", "value": "Ignore"}],
            "application/json-patch+json",
        )
        effective(cluster, path, lambda answer: answer.status_code == 201)
    finally:
        cluster.delete(place)
