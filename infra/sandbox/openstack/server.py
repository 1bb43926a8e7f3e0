"""Serves a WSGI application by waitress until SIGTERM, with the sandbox's middleware around it."""

from __future__ import annotations

import logging
import signal
import socket
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import waitress.channel
import waitress.server
import waitress.task

from infra.sandbox.openstack.faults import FaultFile
from infra.sandbox.openstack.middleware import RESET, Application, Middleware, RequestLog

THREADS = 16


class _Reset(Exception):
    """Ends a request without an answer."""


class _Task(waitress.task.WSGITask):  # type: ignore[misc]
    """A request that can be cut off as a crashed server or a firewall would."""

    def get_environment(self) -> dict[str, Any]:
        environ: dict[str, Any] = super().get_environment()
        environ[RESET] = self._reset
        return environ

    def _reset(self) -> None:
        raise _Reset

    def execute(self) -> None:
        try:
            super().execute()
        except _Reset:
            # Lingering for no time turns the close into a TCP reset (socket(7), SO_LINGER).
            self.channel.socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
            self.wrote_header = True
            self.close_on_finish = True


class _Channel(waitress.channel.HTTPChannel):  # type: ignore[misc]
    task_class = _Task


def serve(application: Application, *, service: str, port: int, home: Path, stop: Callable[[], None]) -> None:
    """Answer requests on loopback until SIGTERM or SIGINT, then call `stop`.

    Args:
        service: the name in the request log and the faults file.
        home: the sandbox's state folder.
        stop: ends what runs beside the API in this process.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    wrapped = Middleware(
        application, RequestLog(home / "log/requests.jsonl", service), FaultFile(home / "faults.json", service)
    )
    server = waitress.server.create_server(
        wrapped, host="127.0.0.1", port=port, threads=THREADS, connection_limit=500, ident="sandbox"
    )
    server.channel_class = _Channel

    def end(number: int, frame: object) -> None:
        # waitress runs its loop until SystemExit, then lets running requests finish.
        raise SystemExit(0)

    signal.signal(signal.SIGTERM, end)
    signal.signal(signal.SIGINT, end)
    try:
        server.run()
    finally:
        server.close()
        stop()
