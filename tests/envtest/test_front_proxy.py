"""The front proxy before a real API server: users, field managers and watches are as without it."""

from __future__ import annotations

import json
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest
import yaml

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.x509 import CLIENT_USAGES
from deployments.sandbox.controlplane.home import DECADE, MANAGER, kubeconfig_name
from deployments.sandbox.controlplane.plane import ControlPlane, Front
from deployments.sandbox.settings import free_port
from infra.clients.kubernetes import KubernetesClient
from infra.settings import Settings

pytestmark = [pytest.mark.envtest]

API_PORT = free_port()


@pytest.fixture(scope="module")
def plane(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ControlPlane]:
    folder = tmp_path_factory.mktemp("front")
    front = Front("dev", folder / "requests.jsonl", folder / "faults.json", API_PORT)
    with ControlPlane(folder / "home", port=free_port(), front=front, nodes=False) as plane:
        sign(plane.home, "jane", x509.Subject("jane", ["developers", "testers"], usages=CLIENT_USAGES))
        yield plane


@pytest.fixture(autouse=True)
def no_faults(plane: ControlPlane) -> Iterator[None]:
    yield
    set_faults(plane)


def sign(home: Path, name: str, subject: x509.Subject, authority: str = "ca") -> None:
    """A client certificate in the plane's folder."""
    signer = x509.Authority.load((home / f"{authority}.crt").read_bytes(), (home / f"{authority}.key").read_bytes())
    key = x509.generate_key()
    (home / f"{name}.key").write_bytes(x509.key_pem(key))
    (home / f"{name}.crt").write_bytes(x509.pem(x509.sign(signer, key.public_key(), subject, DECADE)))


def set_faults(plane: ControlPlane, *rules: dict[str, Any]) -> None:
    partial = plane.home.parent / "partial"
    partial.write_text(json.dumps({"rules": [{"service": "kubernetes", **each} for each in rules]}))
    partial.replace(plane.home.parent / "faults.json")


def kubectl(plane: ControlPlane, *arguments: str, port: int | None = None, user: str | None = "admin") -> str:
    """As a user with a client certificate; as nobody where that is None."""
    server = f"https://127.0.0.1:{port or plane.port}"
    argv = [
        "kubectl",
        f"--server={server}",
        f"--certificate-authority={plane.home / 'ca.crt'}",
        "--kubeconfig=/dev/null",
    ]
    if user is not None:
        argv += [f"--client-certificate={plane.home / user}.crt", f"--client-key={plane.home / user}.key"]
    return subprocess.run([*argv, *arguments], check=True, capture_output=True, text=True, timeout=30).stdout


def client(plane: ControlPlane, certificate: str | None = None, **headers: str) -> httpx.Client:
    context = ssl.create_default_context(cafile=str(plane.home / "ca.crt"))
    if certificate is not None:
        context.load_cert_chain(plane.home / f"{certificate}.crt", plane.home / f"{certificate}.key")
    return httpx.Client(verify=context, base_url=plane.url, headers=headers, timeout=10)


def whoami(session: httpx.Client) -> dict[str, Any]:
    review = {"apiVersion": "authentication.k8s.io/v1", "kind": "SelfSubjectReview"}
    answer = session.post("/apis/authentication.k8s.io/v1/selfsubjectreviews", json=review)
    answer.raise_for_status()
    found: dict[str, Any] = answer.json()["status"]["userInfo"]
    return found


def test_a_certificates_user_is_whom_the_api_server_itself_would_see(plane: ControlPlane) -> None:
    def said(port: int) -> Any:
        return json.loads(kubectl(plane, "auth", "whoami", "-o", "json", port=port, user="jane"))["status"]["userInfo"]

    known = said(API_PORT)
    assert (known["username"], known["groups"]) == ("jane", ["developers", "testers", "system:authenticated"])
    assert said(plane.port) == known


def test_others_are_left_to_the_api_server(plane: ControlPlane) -> None:
    kubectl(plane, "create", "serviceaccount", "robot")
    token = kubectl(plane, "create", "token", "robot").strip()
    with client(plane, Authorization=f"Bearer {token}") as robot, client(plane) as nobody:
        assert whoami(robot)["username"] == "system:serviceaccount:default:robot"
        # Whoever is not signed in may not ask; the API server's answer names whom it saw.
        refused = nobody.get(
            "/api/v1/namespaces", headers={"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}
        )
        assert refused.status_code == 403
        assert '"system:anonymous"' in refused.json()["message"]
        wrong = nobody.get("/api/v1/namespaces", headers={"Authorization": "Bearer wrong"})
        assert wrong.status_code == 401


def test_nobody_says_by_himself_who_he_is(plane: ControlPlane) -> None:
    with client(plane, "jane", **{"X-Remote-User": "admin", "X-Remote-Group": "system:masters"}) as jane:
        assert whoami(jane)["username"] == "jane"
    # A certificate of the proxy's own authority is no user's.
    with client(plane, "front-proxy", **{"X-Remote-User": "admin"}) as proxy:
        answer = proxy.get("/api")
        assert (answer.status_code, answer.json()["reason"]) == (401, "Unauthorized")


def test_one_may_act_as_another_where_the_api_server_lets_him(plane: ControlPlane) -> None:
    with client(plane, "admin", **{"Impersonate-User": "jane", "Impersonate-Group": "testers"}) as admin:
        assert whoami(admin)["username"] == "jane"
    with client(plane, "jane", **{"Impersonate-User": "admin"}) as jane:
        assert jane.get("/api").status_code == 403


def test_field_managers_stay(plane: ControlPlane, tmp_path: Path) -> None:
    manifest = tmp_path / "one.yaml"
    one = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "one"}, "data": {"a": "b"}}
    manifest.write_text(yaml.safe_dump(one))
    kubectl(plane, "apply", "--server-side", "--field-manager=mine", "-f", str(manifest))
    kubectl(plane, "annotate", "configmap", "one", "note=edited")
    fields = json.loads(kubectl(plane, "get", "configmap", "one", "-o", "json", "--show-managed-fields"))
    assert [each["manager"] for each in fields["metadata"]["managedFields"]] == ["mine", "kubectl-annotate"]


def test_a_watch_hears_of_a_change_at_once(plane: ControlPlane) -> None:
    with client(plane, "admin") as admin, admin.stream("GET", "/api/v1/namespaces/default/configmaps?watch=1") as watch:
        lines = watch.iter_lines()
        begun = time.monotonic()
        kubectl(plane, "create", "configmap", "seen")
        names = (json.loads(line)["object"]["metadata"]["name"] for line in lines)
        assert next(name for name in names if name == "seen")
        assert time.monotonic() - begun < 5


def test_a_watch_over_a_websocket_gets_through(plane: ControlPlane) -> None:
    context = ssl.create_default_context(cafile=str(plane.home / "ca.crt"))
    context.load_cert_chain(plane.home / "admin.crt", plane.home / "admin.key")
    asked = (
        "GET /api/v1/namespaces?watch=1 HTTP/1.1\r\nHost: localhost\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\nOrigin: https://localhost\r\n\r\n"
    )
    with (
        socket.create_connection(("127.0.0.1", plane.port), timeout=10) as plain,
        context.wrap_socket(plain, server_hostname="127.0.0.1") as client,
        client.makefile("rb") as answer,
    ):
        client.sendall(asked.encode())
        assert answer.readline().startswith(b"HTTP/1.1 101 ")
        while answer.readline() != b"\r\n":
            pass
        # A frame's header of four bytes, and the first of its events.
        assert b'"type":"ADDED"' in answer.read(200)


def test_the_plane_itself_passes_the_proxy_by(plane: ControlPlane) -> None:
    manager = yaml.safe_load((plane.home / kubeconfig_name(MANAGER)).read_text())
    assert manager["clusters"][0]["cluster"]["server"] == f"https://127.0.0.1:{API_PORT}"
    kubectl(plane, "get", "namespaces")
    lines = [json.loads(line) for line in (plane.home.parent / "requests.jsonl").read_text().splitlines()]
    assert {line["service"] for line in lines} == {"kubernetes/dev"}
    assert not [line for line in lines if "kube-controller-manager" in line["ua"] or "plumbline-sandbox" in line["ua"]]


def test_kubectl_gets_over_refusals_and_sees_a_cut(plane: ControlPlane) -> None:
    set_faults(plane, {"kinds": ["429", "503"], "count": 2, "path": "configmaps"})
    assert "configmap/kube-root-ca.crt" in kubectl(plane, "get", "configmaps", "-o", "name")
    set_faults(plane, {"kinds": ["reset"], "path": "secrets"})
    with pytest.raises(subprocess.CalledProcessError) as cut:
        kubectl(plane, "get", "secrets")
    assert "stream error" in cut.value.stderr or "connection reset" in cut.value.stderr, cut.value.stderr
    set_faults(plane, {"kinds": ["500"], "path": "secrets"})
    with pytest.raises(subprocess.CalledProcessError) as refused:
        kubectl(plane, "get", "secrets")
    assert "injected by the sandbox's faults.json" in refused.value.stderr


async def test_our_client_gets_through_a_storm(plane: ControlPlane, settings: Settings) -> None:
    set_faults(plane, {"rate": 0.2, "stall_seconds": 0.2, "retry_after": 0.2})
    names = [f"storm-{number}" for number in range(60)]
    async with KubernetesClient(plane.kubeconfig, settings, user_agent="storm") as kubernetes:
        for name in names:
            metadata = {"name": name, "namespace": "default"}
            await kubernetes.apply({"apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": {"a": "b"}})
        there = {item["metadata"]["name"] for item in await kubernetes.list("v1", "ConfigMap", namespace="default")}
    assert there >= set(names)
    lines = [json.loads(line) for line in (plane.home.parent / "requests.jsonl").read_text().splitlines()]
    struck = {line["status"] for line in lines if line["ua"].startswith("storm")}
    assert struck >= {0, 429, 500, 503}
