"""Serves a WSGI application by waitress until SIGTERM."""

from __future__ import annotations

import gc
import logging
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterable
from typing import Any

import waitress.server

Application = Callable[[dict[str, Any], Callable[..., Any]], Iterable[bytes]]
THREADS = 16
STOP_SECONDS = 3.0
"""How long what runs beside the API gets to end."""


def serve(application: Application, host: str, port: int, *, stop: Callable[[], None]) -> None:
    """Answer requests until SIGTERM or SIGINT, then call `stop` and leave the process.

    What was loaded until now is not looked at by the garbage collector any more.

    Args:
        host: an address of loopback.
        stop: ends what runs beside the API in this process.
    """
    logging.getLogger("waitress.queue").setLevel(logging.ERROR)
    server = waitress.server.create_server(
        application, host=host, port=port, threads=THREADS, connection_limit=500, ident="sandbox"
    )

    def end(number: int, frame: object) -> None:
        # waitress runs its loop until SystemExit, then lets running requests finish.
        raise SystemExit(0)

    gc.freeze()
    gc.enable()
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
