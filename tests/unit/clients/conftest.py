"""A clock that does not wait, a Keystone with a catalogue, and an API server in memory: all over real HTTP."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any, ClassVar

import pytest
from pytest_httpserver import HTTPServer
from werkzeug import Request, Response

from infra.settings import Settings


class FakeClock:
    """Time passes only by sleeping."""

    def __init__(self) -> None:
        self.now = 0.0
        self.slept: list[float] = []

    def monotonic(self) -> float:
        return self.now

    async def sleep(self, seconds: float) -> None:
        self.slept.append(seconds)
        self.now += seconds


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return Settings(state_dir=tmp_path / "state", request_timeout=5, helm_timeout=60)


@pytest.fixture(autouse=True)
def no_proxies(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in list(os.environ):
        if name.lower().endswith("_proxy") or name.startswith("OS_"):
            monkeypatch.delenv(name)


SERVICES = {
    "compute": "/compute/v2.1",
    "image": "/image/v2",
    "container-infra": "/magnum/v1",
    "dns": "/dns/v2",
}


class FakeCloud:
    """A Keystone on pytest-httpserver, and the services of its catalogue as paths."""

    def __init__(self, server: HTTPServer, folder: Path) -> None:
        self.server = server
        self.signed_in_with: dict[str, Any] = {}
        """What a token says besides, such as the application credential."""
        self.clouds = folder / "clouds.yaml"
        auth = f"{{auth_url: '{server.url_for('/identity/v3')}', username: u, password: p4ssw0rd, project_name: demo,"
        self.clouds.write_text(
            f"clouds:\n  sandbox:\n    auth: {auth} user_domain_id: default, project_domain_id: default}}\n"
            "    region_name: RegionOne\n"
        )
        version = {
            "id": "v3.14",
            "status": "stable",
            "links": [{"rel": "self", "href": server.url_for("/identity/v3")}],
        }
        server.expect_request("/identity/v3", method="GET").respond_with_json({"version": version})
        server.expect_request("/identity/v3/auth/tokens", method="POST").respond_with_handler(self._token)

    def _token(self, request: Request) -> Response:
        if request.get_json()["auth"]["identity"]["password"]["user"]["password"] != "p4ssw0rd":
            return Response('{"error": {"code": 401, "message": "no"}}', 401, content_type="application/json")
        catalog = [
            {
                "type": kind,
                "name": kind,
                "endpoints": [
                    {
                        "interface": "public",
                        "region": "RegionOne",
                        "region_id": "RegionOne",
                        "url": self.server.url_for(path),
                    }
                ],
            }
            for kind, path in SERVICES.items()
        ]
        token = {
            "methods": ["password"],
            "user": {"id": "u1", "name": "u", "domain": {"id": "default", "name": "Default"}},
            "project": {"id": "p1", "name": "demo", "domain": {"id": "default", "name": "Default"}},
            "roles": [],
            "catalog": catalog,
            "issued_at": "2026-01-01T00:00:00.000000Z",
            "expires_at": "2126-01-01T00:00:00.000000Z",
            **self.signed_in_with,
        }
        return Response(
            json.dumps({"token": token}), 201, {"X-Subject-Token": "tok3n"}, content_type="application/json"
        )

    def calls(self, prefix: str) -> list[str]:
        """The requests to one service, as `METHOD path?query`."""
        lines = []
        for request, _ in self.server.log:
            if request.path.startswith(prefix):
                query = request.query_string.decode()
                lines.append(f"{request.method} {request.path.removeprefix(prefix)}{'?' + query if query else ''}")
        return lines


@pytest.fixture
def cloud(httpserver: HTTPServer, tmp_path: Path) -> FakeCloud:
    return FakeCloud(httpserver, tmp_path)


@pytest.fixture
def kubeconfig(httpserver: HTTPServer, tmp_path: Path) -> Path:
    path = tmp_path / "kubeconfig"
    server = httpserver.url_for("").rstrip("/")
    path.write_text(
        f"clusters: [{{name: c, cluster: {{server: '{server}'}}}}]\n"
        "users: [{name: u, user: {token: t0k3n-of-the-test}}]\n"
        "contexts: [{name: x, context: {cluster: c, user: u}}]\ncurrent-context: x\n"
    )
    return path


class FakeApi:
    """Secrets and Leases of an API server in memory, with resourceVersions and label selectors."""

    KINDS: ClassVar = {"secrets": ("v1", "Secret"), "leases": ("coordination.k8s.io/v1", "Lease")}

    def __init__(self, server: HTTPServer) -> None:
        self.server = server
        self.objects: dict[tuple[str, str, str], dict[str, Any]] = {}
        self.version = 0
        for plural, (api, kind) in self.KINDS.items():
            root = "/api/v1" if api == "v1" else f"/apis/{api}"
            resource = {"name": plural, "kind": kind, "namespaced": True, "verbs": ["list"]}
            server.expect_request(root).respond_with_json({"resources": [resource]})
        server.expect_request(re.compile(r"/.*/(secrets|leases)(/.*)?")).respond_with_handler(self._serve)

    def put(self, plural: str, item: dict[str, Any]) -> dict[str, Any]:
        """Store an object as it is."""
        self.version += 1
        metadata = item["metadata"]
        metadata.setdefault("uid", f"uid-{self.version}")
        metadata["resourceVersion"] = str(self.version)
        self.objects[plural, metadata["namespace"], metadata["name"]] = item
        return item

    def writes(self) -> list[str]:
        """Every request that is not a GET."""
        return [f"{request.method} {request.path}" for request, _ in self.server.log if request.method != "GET"]

    def _serve(self, request: Request) -> Response:
        parts = request.path.split("/")
        plural = "secrets" if "secrets" in parts else "leases"
        namespace = parts[parts.index("namespaces") + 1] if "namespaces" in parts else None
        name = parts[-1] if parts[-1] != plural else None
        if name is None and request.method == "GET":
            return _json({"items": self._selected(plural, namespace, request.args.get("labelSelector", ""))})
        assert namespace is not None
        if request.method == "POST":
            item = request.get_json()
            if (plural, namespace, item["metadata"]["name"]) in self.objects:
                return _json({"reason": "AlreadyExists", "message": "exists"}, 409)
            return _json(self.put(plural, item), 201)
        assert name is not None
        found = self.objects.get((plural, namespace, name))
        if found is None:
            return _json({"reason": "NotFound", "message": "not found"}, 404)
        if request.method == "PUT":
            item = request.get_json()
            if item["metadata"].get("resourceVersion") != found["metadata"]["resourceVersion"]:
                return _json({"reason": "Conflict", "message": "the object has been modified"}, 409)
            return _json(self.put(plural, item))
        if request.method == "DELETE":
            del self.objects[plural, namespace, name]
        return _json(found)

    def _selected(self, plural: str, namespace: str | None, selector: str) -> list[dict[str, Any]]:
        wanted = dict(part.split("=") for part in selector.split(",") if part)
        return [
            item
            for (kind, where, _), item in self.objects.items()
            if kind == plural
            and namespace in (None, where)
            and wanted.items() <= item["metadata"].get("labels", {}).items()
        ]


def _json(body: Any, status: int = 200) -> Response:
    return Response(json.dumps(body), status, content_type="application/json")


@pytest.fixture
def api(httpserver: HTTPServer) -> Iterator[FakeApi]:
    yield FakeApi(httpserver)
