"""What the API server sends into the cluster: to webhooks and aggregated APIs, by way of a proxy for CONNECT.

No packet finds a Service's clusterIP on this machine. The API server is told to dial by a proxy (its "egress selector",
https://kubernetes.io/docs/tasks/extend-kubernetes/setup-konnectivity/), which knows who serves for a Service.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import socket
from collections.abc import AsyncIterator
from pathlib import Path

from deployments.sandbox.controllers.kube.informer import Informer
from deployments.sandbox.controllers.kube.resources import Key

SOCKET = "egress.sock"
"""In the cluster's folder; controlplane/egress.yaml has this name alone, since paths of sockets are short."""
CONNECT_TIMEOUT = 5.0

log = logging.getLogger(__name__)


class Egress:
    """Leads connections for Services to who serves for them here, and all others where they want to go.

    Args:
        services: to know a Service by its clusterIP.
    """

    def __init__(self, services: Informer) -> None:
        self._services = services
        self._routes: dict[Key, int] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    def route(self, service: Key, port: int) -> None:
        """Lead what is for `service` to this port of the machine."""
        self._routes[service] = port

    @contextlib.asynccontextmanager
    async def serving(self, folder: Path) -> AsyncIterator[None]:
        """Listen at `SOCKET` in a folder, readable by us alone."""
        path = folder / SOCKET
        path.unlink(missing_ok=True)
        directory = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
        try:
            listener.bind(f"/proc/self/fd/{directory}/{SOCKET}")
            path.chmod(0o600)
            server = await asyncio.start_unix_server(self._connected, sock=listener)
            yield
            server.close()
        finally:
            listener.close()
            os.close(directory)
            for task in self._tasks:
                task.cancel()
            await asyncio.gather(*self._tasks, return_exceptions=True)
            path.unlink(missing_ok=True)

    def target(self, host: str, port: int) -> tuple[str, int]:
        """Where a connection for a host and port goes.

        Raises:
            ConnectionRefusedError: it is for a Service nobody serves for.
        """
        service = self._service(host)
        if service is None:
            return host, port
        if service not in self._routes:
            raise ConnectionRefusedError(f"nobody serves for {'/'.join(service)}")
        return "127.0.0.1", self._routes[service]

    def _service(self, host: str) -> Key | None:
        name, _, rest = host.partition(".")
        if rest.endswith(".svc"):
            return rest.removesuffix(".svc"), name
        for key in self._services.keys():  # noqa: SIM118 - an informer is no dict
            service = self._services.get(*key)
            if service is not None and service["spec"].get("clusterIP") == host:
                return key
        return None

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        if task is not None:
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        try:
            head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1")
            method, address, _ = head.split(" ", 2)
            host, _, port = address.rpartition(":")
            if method != "CONNECT":
                writer.write(b"HTTP/1.1 405 Method Not Allowed\r\n\r\n")
                return
            try:
                where = self.target(host.strip("[]"), int(port))
                there = await asyncio.wait_for(asyncio.open_connection(*where), CONNECT_TIMEOUT)
            except (OSError, TimeoutError) as error:
                log.info("no connection for %s: %s", address, error or repr(error))
                writer.write(b"HTTP/1.1 502 Bad Gateway\r\n\r\n")
                return
            writer.write(b"HTTP/1.1 200 Connection established\r\n\r\n")
            await _both((reader, writer), there)
        except (asyncio.IncompleteReadError, asyncio.LimitOverrunError, OSError, ValueError):
            log.debug("a connection ended early", exc_info=True)
        finally:
            writer.close()


Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


async def _both(here: Stream, there: Stream) -> None:
    """Copy both ways until both ends have said all they had to say."""
    try:
        await asyncio.gather(_copy(here[0], there[1]), _copy(there[0], here[1]))
    finally:
        there[1].close()


async def _copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
    if writer.can_write_eof():
        writer.write_eof()
