"""What happens at the edge of the server: injected faults, the request log."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import NoReturn

from aiohttp import web

from deployments.sandbox.kubernetes.errors import StatusError
from deployments.sandbox.kubernetes.wire import dumps
from deployments.sandbox.openstack.faults import Fault, FaultFile
from deployments.sandbox.openstack.middleware import RequestLog

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
# The API machinery's own words (apimachinery/pkg/api/errors): clients such as helm pass on nothing else.
_SAID = {
    "500": ("InternalError", "Internal error occurred: injected fault"),
    "503": ("ServiceUnavailable", "the server is currently unable to handle the request (injected fault)"),
    "429": ("TooManyRequests", "the server has received too many requests and has asked us to try again later"),
}
HEALTH = frozenset({"/healthz", "/readyz", "/livez"})


class Edge:
    """An aiohttp middleware: strikes with the faults of the file, writes one line a request."""

    __middleware_version__ = 1

    def __init__(self, log: RequestLog | None, faults: FaultFile | None) -> None:
        self._log = log
        self._faults = faults

    async def __call__(self, request: web.Request, handler: Handler) -> web.StreamResponse:
        agent = request.headers.get("User-Agent", "")
        fault = self._fault(request, agent)
        status = 500
        try:
            answer = await _struck(request, fault) or await handler(request)
            status = answer.status
        except ConnectionResetError:
            status = 0
            raise
        finally:
            if self._log is not None and request.path not in HEALTH:
                self._log.write(request.method, request.path_qs, status, agent)
        if fault is not None and fault.kind == "lost":
            _reset(request)
        return answer

    def _fault(self, request: web.Request, agent: str) -> Fault | None:
        if self._faults is None or request.path in HEALTH:
            return None
        return self._faults.decide(request.method, request.path, agent)


async def _struck(request: web.Request, fault: Fault | None) -> web.Response | None:
    """The answer of an injected fault, None to go on; a reset ends the connection."""
    if fault is None or fault.kind == "lost":
        return None
    if fault.kind == "stall":
        await asyncio.sleep(fault.stall_seconds)
        return None
    if fault.kind == "reset":
        _reset(request)
    return _failure(fault)


def _reset(request: web.Request) -> NoReturn:
    if request.transport is not None:
        request.transport.abort()
    raise ConnectionResetError("injected fault")


def _failure(fault: Fault) -> web.Response:
    reason, said = _SAID[fault.kind]
    error = StatusError(int(fault.kind), reason, said, {"retryAfterSeconds": int(fault.retry_after)})
    headers = {"Retry-After": f"{fault.retry_after:g}"} if fault.kind != "500" else {}
    return web.Response(
        body=dumps(error.to_json()), status=error.code, content_type="application/json", headers=headers
    )
