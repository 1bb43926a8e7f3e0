"""Serves a WSGI application by waitress until SIGTERM, with the sandbox's middleware around it."""

from __future__ import annotations

import logging
import os
import signal
import socket
import struct
import sys
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any

import waitress.channel
import waitress.server
import waitress.task

from deployments.sandbox.openstack.faults import FaultFile
from deployments.sandbox.openstack.middleware import RESET, Application, Middleware, RequestLog

THREADS = 16
STOP_SECONDS = 3.0
"""How long what runs beside the API gets to end."""


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
    """Answer requests on loopback until SIGTERM or SIGINT, then call `stop` and leave the process.

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
    server.run()
    server.close()
    _end(stop)


def _end(stop: Callable[[], None]) -> None:
    """Leave the process, within STOP_SECONDS.

    The services' own ends wait for threads that sleep between polls, and the interpreter waits for them again. All
    state is in SQLite, and what is cut off here is resumed at the next start.
    """
    ending = threading.Thread(target=stop, daemon=True)
    ending.start()
    ending.join(STOP_SECONDS)
    logging.shutdown()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(0)
