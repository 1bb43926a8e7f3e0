"""What the supervisor runs: command lines, environments and probes."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp
import dns.asyncquery
import dns.exception
import dns.message

from deployments.sandbox import venv
from deployments.sandbox.acme import ENVIRONMENT, Acme
from deployments.sandbox.layout import Layout
from deployments.sandbox.openstack.config import SERVICES
from deployments.sandbox.openstack.faults import HEALTH
from deployments.sandbox.settings import BEHIND, NAME_SERVERS, ROOT, SandboxSettings
from deployments.sandbox.supervisor.clusters import DIRECT, api_ready
from deployments.sandbox.supervisor.managed import Program
from deployments.sandbox.upstream import build

Probe = Callable[[], Awaitable[bool]]


def services(settings: SandboxSettings, layout: Layout) -> list[Program]:
    """Everything that runs besides the clusters."""
    python = str(settings.venv.absolute() / "bin/python")
    programs = [
        Program(
            name=name,
            argv=(
                *(python, *venv.OPTIONS, "-m", "deployments.sandbox.openstack", name),
                *("--home", str(layout.home), "--host", BEHIND, "--port", str(settings.port(name))),
            ),
            env=venv.environment(settings.venv.absolute()),
            log=layout.log / f"{name}.out",
            probe=http_answers(settings.url(name, "/")),
            cwd=layout.home,
            port=settings.port(name),
        )
        for name in SERVICES
    ]
    return [*programs, *(make(settings, layout) for make in (_front, _dns, _acme, _github))]


def _front(settings: SandboxSettings, layout: Layout) -> Program:
    """What stands before OpenStack's services; the probes of these go through it."""
    port = settings.port(SERVICES[0])

    async def listening() -> bool:
        _, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.close()
        return True

    return Program(
        name="front-proxy",
        argv=(str(build.program("front-proxy", build.FRONT_PROXY)), str(layout.front)),
        env=dict(os.environ),
        log=layout.log / "front-proxy.log",
        probe=listening,
        cwd=layout.home,
    )


def _dns(settings: SandboxSettings, layout: Layout) -> Program:
    ports = ("--dns-port", str(settings.port("dns")), "--resolver-port", str(settings.port("resolver")))
    return Program(
        name="dns",
        argv=(sys.executable, "-m", "deployments.sandbox.dns", "--home", str(layout.home), *ports),
        env=own_environment(settings),
        log=layout.log / "dns.log",
        probe=names_answered(settings),
        cwd=layout.home,
        port=settings.port("dns"),
    )


def _acme(settings: SandboxSettings, layout: Layout) -> Program:
    acme = Acme.of(settings, layout)
    return Program(
        name="acme",
        argv=acme.argv(settings.port("dns")),
        env=own_environment(settings) | ENVIRONMENT,
        log=layout.log / "acme.log",
        probe=acme.ready,
        cwd=layout.home,
        port=settings.port("acme"),
    )


def _github(settings: SandboxSettings, layout: Layout) -> Program:
    port = settings.port("github")
    return Program(
        name="github",
        argv=(
            *(sys.executable, "-m", "deployments.sandbox.controllers.github"),
            *("--port", str(port), "--home", str(layout.home)),
        ),
        env=own_environment(settings),
        log=layout.log / "github.log",
        probe=http_answers(settings.url("github", "/")),
        cwd=layout.home,
        port=port,
    )


def cluster(settings: SandboxSettings, layout: Layout) -> Callable[[Path, Mapping[str, Any]], tuple[Program, Program]]:
    """From a cluster's folder and description to its API server and its controllers."""
    # They end with us even when we are killed.
    parent = ("--parent", str(os.getpid()))
    logged = ("--request-log", str(layout.requests), "--faults", str(layout.faults))

    def programs(folder: Path, document: Mapping[str, Any]) -> tuple[Program, Program]:
        name, port = document["name"], document["port"]
        listen = ("--home", str(folder), "--port", str(port))
        own = ("--version", document["version"], "--name", name, *parent)
        front = ("--api-port", str(document["api_port"]), *logged)
        env = own_environment(settings)

        async def ready() -> bool:
            return await api_ready(folder, port)

        async def running() -> bool:
            return True

        api = Program(
            name=f"kubernetes/{name}",
            argv=(sys.executable, "-m", "deployments.sandbox.controlplane", *listen, *own, *front),
            env=env,
            log=layout.log / f"kubernetes-{name}.log",
            probe=ready,
            cwd=layout.home,
            port=port,
        )
        homes = ("--cluster-home", str(folder), "--sandbox-home", str(layout.home))
        # Past the front proxy: what goes wrong for the platform does not for those that are the cloud.
        access = ("--kubeconfig", str(folder / DIRECT))
        controllers = Program(
            name=f"controllers/{name}",
            argv=(sys.executable, "-m", "deployments.sandbox.controllers", *homes, *access, *parent),
            env=env,
            log=layout.log / f"controllers-{name}.log",
            probe=running,
            cwd=layout.home,
        )
        return api, controllers

    return programs


def own_environment(settings: SandboxSettings) -> dict[str, str]:
    """The environment of our own processes: ours, and the sandbox's settings as the supervisor sees them."""
    values = {name: getattr(settings, name) for name in SandboxSettings.model_fields}
    ours = {f"PLUMBLINE_SANDBOX_{name.upper()}": str(value) for name, value in values.items() if value is not None}
    folders = {
        "PLUMBLINE_SANDBOX_HOME": str(settings.home.absolute()),
        "PLUMBLINE_SANDBOX_VENV": str(settings.venv.absolute()),
    }
    return dict(os.environ) | ours | folders | {"PYTHONPATH": str(ROOT), "PYTHONUNBUFFERED": "1"}


def http_answers(url: str) -> Probe:
    """A probe: the address answers a GET, whatever it says short of an error of its own."""

    async def probe() -> bool:
        timeout = aiohttp.ClientTimeout(total=5)
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout, headers={"User-Agent": HEALTH}) as session,
                session.get(url, allow_redirects=False) as response,
            ):
                return response.status < 500
        except aiohttp.ClientError:
            return False

    return probe


def names_answered(settings: SandboxSettings) -> Probe:
    """A probe: both authoritative servers and the resolver answer."""
    addresses = [(address, settings.port("dns")) for address in NAME_SERVERS.values()]
    addresses.append(("127.0.0.1", settings.port("resolver")))

    async def probe() -> bool:
        query = dns.message.make_query("ns1.sandbox.example.", "A")
        try:
            for address, port in addresses:
                await dns.asyncquery.udp(query, address, port=port, timeout=1)
        except dns.exception.DNSException:
            return False
        return True

    return probe
