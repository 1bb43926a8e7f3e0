"""The Kubernetes clusters that Magnum has asked for: a folder, a port, a control plane and its controllers for each."""

from __future__ import annotations

import asyncio
import json
import re
import shutil
import socket
import ssl
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import aiohttp

from deployments.sandbox.controlplane.home import admin_kubeconfig
from deployments.sandbox.controlplane.plane import emulated
from deployments.sandbox.layout import write, write_json
from deployments.sandbox.openstack.faults import HEALTH
from deployments.sandbox.settings import HOST
from deployments.sandbox.supervisor.managed import Managed, Program
from infra.clients.errors import InvalidInput

DIRECT = "direct.kubeconfig"
"""The administrator's kubeconfig that passes the front proxy by, for the cluster's controllers."""
PUBLIC = ("name", "version", "ca_pem", "server_cert_pem", "nodes", "network")
FILES = {
    "ca_pem": "ca.crt",
    "server_cert_pem": "server.crt",
    "server_key_pem": "server.key",
    "admin_cert_pem": "admin.crt",
    "admin_key_pem": "admin.key",
}
"""Where each PEM of a request is kept."""

CLOUDS = "clouds.yaml"
"""How the cluster signs in to the cloud; without it, its controllers do as the sandbox's user."""

UUID = re.compile(r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$")

Programs = Callable[[Path, Mapping[str, Any]], tuple[Program, Program]]
"""From a cluster's folder and description to its API server and its controllers."""


class Clusters:
    """All clusters of the sandbox.

    Args:
        folder: one folder per cluster below it.
        first_port: where the search for a port begins.
        programs: what is run for a cluster.
        grace: seconds a process gets to end.
        changed: called when a process or its state changes.
    """

    def __init__(
        self, folder: Path, *, first_port: int, programs: Programs, grace: float, changed: Callable[[], None]
    ) -> None:
        self._folder = folder
        self._first_port = first_port
        self._programs = programs
        self._grace = grace
        self._changed = changed
        self._locks: dict[str, asyncio.Lock] = {}
        self.documents: dict[str, dict[str, Any]] = {}
        self.processes: dict[str, tuple[Managed, Managed]] = {}

    def load(self) -> None:
        """Start what was there before a restart."""
        for path in sorted(self._folder.glob("*/cluster.json")):
            uuid = path.parent.name
            self.documents[uuid] = json.loads(path.read_text())
            self._start(uuid)

    async def put(self, uuid: str, body: Mapping[str, Any]) -> dict[str, Any]:
        """Have a cluster as described; returns where it is, and whether it answers.

        Args:
            uuid: Magnum's.
            body: name, version, nodes and PEMs. The PEMs may be left out where they are known.

        Raises:
            InvalidInput: something is missing, or the version cannot be had here.
        """
        if not UUID.match(uuid):
            raise InvalidInput(f"{uuid!r} is not a cluster's UUID.")
        async with self._locks.setdefault(uuid, asyncio.Lock()):
            folder = self._folder / uuid
            self._check(folder, body)
            old = self.documents.get(uuid)
            port, api_port = (old["port"], old["api_port"]) if old else self._free_ports()
            folder.mkdir(mode=0o700, exist_ok=True)
            renewed = [write(folder / file, body[key]) for key, file in FILES.items() if body.get(key)]
            if body.get("clouds"):
                write(folder / CLOUDS, body["clouds"])
            new = {key: body[key] for key in PUBLIC if key in body} | {"uuid": uuid}
            new |= {"port": port, "api_port": api_port}
            new.setdefault("server_cert_pem", (folder / FILES["server_cert_pem"]).read_text())
            new["api_address"] = f"https://{HOST}:{port}"
            _write(folder, new)
            self.documents[uuid] = new
            if uuid not in self.processes:
                self._start(uuid)
            elif any(renewed) or (old and old["version"] != new["version"]):
                await self._restart(uuid)
        return self.answer(uuid)

    async def delete(self, uuid: str) -> bool:
        """Have no such cluster; returns whether there was one."""
        async with self._locks.setdefault(uuid, asyncio.Lock()):
            if self.documents.pop(uuid, None) is None:
                return False
            # Controllers first: they would only complain about an API server that is gone.
            for process in reversed(self.processes.pop(uuid)):
                await process.stop()
            await asyncio.to_thread(shutil.rmtree, self._folder / uuid)
            self._changed()
        return True

    async def stop(self) -> None:
        """End all processes, keep all state."""
        for number in (1, 0):
            await asyncio.gather(*(pair[number].stop() for pair in self.processes.values()))

    def answer(self, uuid: str) -> dict[str, Any]:
        """What is told about a cluster."""
        document = self.documents[uuid]
        api, _ = self.processes[uuid]
        return document | {"ready": api.ready.is_set()}

    def _check(self, folder: Path, body: Mapping[str, Any]) -> None:
        missing = [key for key in ("name", "version", "ca_pem", "nodes") if not body.get(key)]
        missing += [key for key, file in FILES.items() if not body.get(key) and not (folder / file).exists()]
        if missing:
            raise InvalidInput(f"The cluster's description lacks {', '.join(sorted(set(missing)))}.")
        emulated(body["version"])

    def _free_ports(self) -> tuple[int, int]:
        """For the front proxy, and for the API server behind it."""
        first = self._free_port()
        return first, self._free_port(first)

    def _free_port(self, *taken: int) -> int:
        known = {document.get(key) for document in self.documents.values() for key in ("port", "api_port")}
        for port in range(self._first_port, 65536):
            if port in known or port in taken:
                continue
            with socket.socket() as probe:
                probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
                try:
                    probe.bind((HOST, port))
                except OSError:
                    continue
            return port
        raise InvalidInput(f"No port is free from {self._first_port} up.")

    def _start(self, uuid: str) -> None:
        api, controllers = (
            Managed(program, grace=self._grace, changed=self._changed)
            for program in self._programs(self._folder / uuid, self.documents[uuid])
        )
        self.processes[uuid] = (api, controllers)
        api.start()
        controllers.start()

    async def _restart(self, uuid: str) -> None:
        programs = self._programs(self._folder / uuid, self.documents[uuid])
        for process, program in zip(self.processes[uuid], programs, strict=True):
            await process.replace(program)


def _write(folder: Path, document: Mapping[str, Any]) -> None:
    """What others read of a cluster."""
    write(folder / "admin.kubeconfig", admin_kubeconfig(folder, document["api_address"]))
    write(folder / DIRECT, admin_kubeconfig(folder, f"https://{HOST}:{document['api_port']}"))
    write_json(folder / "cluster.json", document)


async def api_ready(folder: Path, port: int) -> bool:
    """Whether a cluster's API server answers, with the certificate it ought to have."""
    context = ssl.create_default_context(cafile=str(folder / "ca.crt"))
    context.load_cert_chain(folder / "admin.crt", folder / "admin.key")
    connector = aiohttp.TCPConnector(ssl=context)
    timeout = aiohttp.ClientTimeout(total=3)
    async with aiohttp.ClientSession(connector=connector, timeout=timeout, headers={"User-Agent": HEALTH}) as session:
        try:
            async with session.get(f"https://{HOST}:{port}/readyz") as response:
                return response.status == 200
        except aiohttp.ClientError:
            return False
