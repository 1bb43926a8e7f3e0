"""A cluster with cert-manager's own programs, pebble, and names that lead to the cluster's ingress."""

from __future__ import annotations

import asyncio
import json
import os
import ssl
import subprocess
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import ExitStack, asynccontextmanager, contextmanager, suppress
from ipaddress import IPv4Network
from pathlib import Path
from typing import Any

import aiohttp
import dns.flags
import dns.message
import dns.rcode
import dns.rdatatype
import dns.rrset
from aiohttp import web

from deployments.sandbox.acme import ENVIRONMENT, Acme
from deployments.sandbox.authority import make_authority
from deployments.sandbox.charts.upstream import cert_manager
from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.app import Options, run
from deployments.sandbox.dns.servers import Server
from deployments.sandbox.settings import NAME_SERVERS, SandboxSettings, free_port
from deployments.sandbox.upstream import build
from infra.clients.errors import NotYet
from infra.clients.waiting import wait_until
from tests.fakecloud import NETWORK, FakeCloud

ZONE = "acme.example."
PORT_BASE = int(os.environ.get("PLUMBLINE_TEST_PORT_BASE", "26000")) + 600
LOAD_BALANCERS = IPv4Network(os.environ.get("PLUMBLINE_TEST_LOADBALANCERS", "127.89.0.0/16"))


class World:
    """What the tests find; `names` is what the name servers know, and may be changed at any time."""

    def __init__(self, sandbox: Path) -> None:
        self.sandbox = sandbox
        self.home = sandbox / "clusters" / "dev"
        (sandbox / "ca").mkdir(mode=0o700)
        make_authority(sandbox / "ca")
        self.names: dict[str, str] = {}
        self.settings = SandboxSettings(
            home=sandbox, port_base=PORT_BASE, loadbalancer_network=LOAD_BALANCERS, ingress_http_port=PORT_BASE + 30
        )
        self.acme = Acme(sandbox / "acme", sandbox / "ca", port=free_port(), management_port=free_port())
        self._pebble: subprocess.Popen[bytes] | None = None

    @property
    def kubeconfig(self) -> Path:
        return self.home / "admin.kubeconfig"

    @property
    def authority(self) -> Path:
        return self.sandbox / "ca" / "ca.crt"

    @contextmanager
    def running(self) -> Iterator[World]:
        """Everything started, and ended."""
        servers = [{"name": "dev-0", "role": "worker", "nodegroup": "w", "address": "10.0.0.1", "flavor": "m1.large"}]
        described = {"name": "dev", "version": "v1.36.3", "nodes": servers, "network": NETWORK}
        (self.home / "cluster.json").write_text(json.dumps(described))
        with ExitStack() as stack:
            stack.enter_context(self._serving_names())
            stack.callback(self._stop_pebble)
            self.start_pebble()
            stack.enter_context(self._controllers())
            self._install()
            yield self

    def start_pebble(self) -> None:
        """Start it, or start it anew: it has then forgotten all."""
        self._stop_pebble()
        self.acme.configure(http_port=self.settings.ingress_http_port, tls_port=self.settings.ingress_https_port)
        with (self.sandbox / "pebble.log").open("ab") as log:
            argv = self.acme.argv(self.settings.port("dns"))
            self._pebble = subprocess.Popen(argv, env={**os.environ, **ENVIRONMENT}, stdout=log, stderr=log)

        async def answers() -> None:
            if not await self.acme.ready():
                raise NotYet("pebble does not answer")

        asyncio.run(wait_until(answers, describe="pebble", timeout=20))

    def _stop_pebble(self) -> None:
        if self._pebble is not None:
            self._pebble.terminate()
            self._pebble.wait(10)
            self._pebble = None

    @contextmanager
    def _controllers(self) -> Iterator[None]:
        cloud = FakeCloud(LOAD_BALANCERS)
        options = Options(self.home, self.kubeconfig, self.sandbox, self.settings, cloud)
        loop = asyncio.new_event_loop()
        work = loop.create_task(run(options))

        def serve() -> None:
            with suppress(asyncio.CancelledError):
                loop.run_until_complete(work)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        try:
            yield
        finally:
            loop.call_soon_threadsafe(work.cancel)
            thread.join(20)
            loop.close()

    def _install(self) -> None:
        values = ("--set", "crds.enabled=true,startupapicheck.enabled=false")
        argv = ("install", "cert-manager", str(cert_manager()), "-n", "cert-manager", "--create-namespace", *values)
        kubeconfig = ("--kubeconfig", str(self.kubeconfig))
        subprocess.run([str(build.program("helm")), *argv, *kubeconfig], check=True, capture_output=True, timeout=120)

    @contextmanager
    def _serving_names(self) -> Iterator[None]:
        loop = asyncio.new_event_loop()
        servers = [Server(self._answer) for _ in NAME_SERVERS]
        for server, address in zip(servers, NAME_SERVERS.values(), strict=True):
            loop.run_until_complete(server.start(address, self.settings.port("dns")))
        thread = threading.Thread(target=loop.run_forever, daemon=True)
        thread.start()
        try:
            yield
        finally:
            for server in servers:
                asyncio.run_coroutine_threadsafe(server.stop(), loop).result(10)
            loop.call_soon_threadsafe(loop.stop)
            thread.join(10)
            loop.close()

    async def _answer(self, query: dns.message.Message) -> dns.message.Message:
        answer = dns.message.make_response(query)
        answer.flags |= dns.flags.AA
        name, kind = query.question[0].name, query.question[0].rdtype
        address = self.names.get(name.to_text(omit_final_dot=True))
        soa = f"ns1.{ZONE} hostmaster.{ZONE} 1 60 60 60 60"
        if kind == dns.rdatatype.SOA and name.to_text() == ZONE:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "SOA", soa))
        elif kind == dns.rdatatype.A and address is not None:
            answer.answer.append(dns.rrset.from_text(name, 60, "IN", "A", address))
        else:
            answer.set_rcode(dns.rcode.NOERROR if address is not None else dns.rcode.NXDOMAIN)
            answer.authority.append(dns.rrset.from_text(ZONE, 60, "IN", "SOA", soa))
        return answer


Refusal = Callable[[str], tuple[int, str, str] | None]
"""From a path to status, problem type and detail of a refusal, or None."""


class Gate:
    """An ACME server that is pebble, but for what it refuses."""

    def __init__(self, world: World) -> None:
        self._world = world
        self.refuse: Refusal = lambda _path: None
        self.port = free_port()

    @property
    def server(self) -> str:
        return f"https://127.0.0.1:{self.port}/dir"

    @asynccontextmanager
    async def serving(self) -> AsyncIterator[Gate]:
        app = web.Application()
        app.router.add_route("*", "/{path:.*}", self._forward)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        folder = self._world.sandbox / "acme"
        context = x509.server_context((folder / "server.crt").read_bytes(), (folder / "server.key").read_bytes())
        await web.TCPSite(runner, "127.0.0.1", self.port, ssl_context=context).start()
        try:
            async with aiohttp.ClientSession() as self._session:
                yield self
        finally:
            await runner.cleanup()

    async def _forward(self, request: web.Request) -> web.Response:
        trusted = ssl.create_default_context(cafile=str(self._world.authority))
        url = self._world.acme.server.removesuffix("/dir") + request.path_qs
        refusal = self.refuse(request.path)
        # A refusal comes with a nonce as well, which only pebble makes.
        if refusal is not None:
            url = self._world.acme.server.removesuffix("/dir") + "/nonce-plz"
        kept = {name: value for name, value in request.headers.items() if name in ("Content-Type", "Host", "Accept")}
        method = "HEAD" if refusal is not None else request.method
        async with self._session.request(method, url, data=await request.read(), headers=kept, ssl=trusted) as answer:
            headers = {name: value for name, value in answer.headers.items() if name in PASSED}
            body, status = await answer.read(), answer.status
        if refusal is not None:
            status, kind, detail = refusal
            problem: dict[str, Any] = {"type": f"urn:ietf:params:acme:error:{kind}", "detail": detail, "status": status}
            body, headers["Content-Type"] = json.dumps(problem).encode(), "application/problem+json"
        return web.Response(status=status, body=body, headers=headers)


PASSED = ("Replay-Nonce", "Location", "Link", "Content-Type", "Retry-After")
