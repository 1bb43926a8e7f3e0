"""WSGI middleware around each service: a log of every request, and injected faults."""

from __future__ import annotations

import collections
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from deployments.sandbox.openstack.faults import EXEMPT, Fault, FaultFile

Environ = dict[str, Any]
StartResponse = Callable[..., Any]
Application = Callable[[Environ, StartResponse], Iterable[bytes]]

HEALTH = f"{EXEMPT}health"
"""User agent of the supervisor's own look at a service; not logged."""

RESET = "plumbline.reset"
"""Key of the environ under which the server offers to reset the connection."""

STATUS_LINES = {
    "500": "500 Internal Server Error",
    "503": "503 Service Unavailable",
    "429": "429 Too Many Requests",
}


class RequestLog:
    """Appends one JSON line a request; lines of several processes do not mix."""

    def __init__(self, path: Path, service: str) -> None:
        self._service = service
        self._file = os.open(path, os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC, 0o600)

    def write(self, method: str, path: str, status: int, user_agent: str) -> None:
        """Add a line; status 0 means the connection was reset."""
        line = {
            "t": datetime.now(UTC).isoformat(timespec="milliseconds"),
            "service": self._service,
            "method": method,
            "path": path,
            "status": status,
            "ua": user_agent,
        }
        # One write of one line to a file opened for appending: atomic among the services.
        os.write(self._file, (json.dumps(line) + "\n").encode())


class Middleware:
    """Logs each request and, as the faults file says, makes it fail: before it reaches the service, or after."""

    def __init__(
        self,
        application: Application,
        log: RequestLog,
        faults: FaultFile,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self._application = application
        self._log = log
        self._faults = faults
        self._sleep = sleep

    def __call__(self, environ: Environ, start_response: StartResponse) -> Iterable[bytes]:
        method = str(environ.get("REQUEST_METHOD", "GET"))
        path = str(environ.get("SCRIPT_NAME", "")) + str(environ.get("PATH_INFO", ""))
        if environ.get("QUERY_STRING"):
            path += f"?{environ['QUERY_STRING']}"
        agent = str(environ.get("HTTP_USER_AGENT", ""))
        if agent == HEALTH:
            return self._application(environ, start_response)
        fault = self._faults.decide(method, path, agent)
        if fault is None or fault.kind == "lost":
            pass
        elif fault.kind == "stall":
            self._sleep(fault.stall_seconds)
        elif fault.kind == "reset":
            self._log.write(method, path, 0, agent)
            environ[RESET]()
            return []
        else:
            self._log.write(method, path, int(fault.kind), agent)
            return _refuse(fault, start_response)

        def logging_start_response(status: str, headers: list[tuple[str, str]], *rest: Any) -> Any:
            self._log.write(method, path, int(status.split(" ", 1)[0]), agent)
            return start_response(status, headers, *rest)

        answer = self._application(environ, logging_start_response)
        if fault is not None and fault.kind == "lost":
            # All of the work is done, and nobody hears of it.
            collections.deque(answer, maxlen=0)
            environ[RESET]()
            return []
        return answer


def _refuse(fault: Fault, start_response: StartResponse) -> Iterator[bytes]:
    body = json.dumps({"error": {"code": int(fault.kind), "message": "Injected by the sandbox's faults.json"}}).encode()
    headers = [("Content-Type", "application/json"), ("Content-Length", str(len(body)))]
    if fault.kind in ("429", "503"):
        headers.append(("Retry-After", f"{fault.retry_after:g}"))
    start_response(STATUS_LINES[fault.kind], headers)
    return iter([body])
