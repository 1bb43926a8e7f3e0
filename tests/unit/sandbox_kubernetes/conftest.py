"""The whole server in this process, over plain HTTP with a service-account token; no TLS, no other program."""

from __future__ import annotations

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest
from aiohttp import ClientResponse, web
from aiohttp.test_utils import TestClient, TestServer

from deployments.sandbox.kubernetes.calls import Where
from deployments.sandbox.kubernetes.middleware import Edge
from deployments.sandbox.kubernetes.requestinfo import internal_options
from deployments.sandbox.kubernetes.server import ApiServer
from deployments.sandbox.openstack.faults import FaultFile
from deployments.sandbox.openstack.middleware import RequestLog

Object = dict[str, Any]
CONFIGS = "/api/v1/namespaces/default/configmaps"


class Api:
    """A client that is a cluster administrator."""

    def __init__(
        self, server: ApiServer, client: TestClient[web.Request, web.Application], token: str, folder: Path
    ) -> None:
        self.server, self.client, self.folder = server, client, folder
        self._headers = {"Authorization": f"Bearer {token}", "User-Agent": "unit/1"}

    async def __call__(
        self, method: str, path: str, body: Any = None, sort: str = "application/json", **headers: str
    ) -> Any:
        answer = await self.raw(method, path, body, sort, **headers)
        return json.loads(await answer.read() or b"{}")

    async def raw(
        self, method: str, path: str, body: Any = None, sort: str = "application/json", **headers: str
    ) -> ClientResponse:
        data = None if body is None else json.dumps(body)
        content = {"Content-Type": sort} if body is not None else {}
        return await self.client.request(method, path, data=data, headers={**self._headers, **content, **headers})

    async def until(self, probe: Callable[[], bool]) -> None:
        """Wait until `probe` holds, looking after every write to the store."""
        written = asyncio.Event()
        stop = self.server.storage.subscribe(lambda _change: written.set())
        try:
            async with asyncio.timeout(5):
                while not probe():
                    written.clear()
                    await written.wait()
        finally:
            stop()

    def held(self, storage: str, name: str, namespace: str = "default") -> bool:
        return self.server.storage.get(storage, namespace, name) is not None


@pytest.fixture
async def api(tmp_path: Path) -> AsyncIterator[Api]:
    server = ApiServer(tmp_path / "db.sqlite", version="v1.33.4", ca="CA")
    edge = Edge(RequestLog(tmp_path / "log", "kubernetes/unit"), FaultFile(tmp_path / "faults.json", "kubernetes"))
    application = web.Application(middlewares=[edge])
    application.router.add_route("*", "/{path:.*}", server.handle)
    async with server.running(), TestClient(TestServer(application)) as client:
        binding = server.registry.find("rbac.authorization.k8s.io", "v1", "clusterrolebindings")
        account = server.registry.find("", "v1", "serviceaccounts")
        assert binding is not None and account is not None
        subject = {"kind": "ServiceAccount", "name": "robot", "namespace": "kube-system"}
        body = {
            "metadata": {"name": "robot"},
            "roleRef": {"kind": "ClusterRole", "name": "cluster-admin"},
            "subjects": [subject],
        }
        await server.objects.create(Where(binding, "", "robot"), body, internal_options("unit"))
        made = await server.objects.create(Where(account, "kube-system", "robot"), {"metadata": {"name": "robot"}},
                                           internal_options("unit"))  # fmt: skip
        token = server.tokens.issue("kube-system", "robot", made["metadata"]["uid"], seconds=60, audiences=[])
        yield Api(server, client, token, tmp_path)
