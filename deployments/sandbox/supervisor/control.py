"""The control API: what the Magnum driver and the command line ask of the supervisor. Loopback, with a token."""

from __future__ import annotations

import hmac
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from deployments.sandbox.supervisor.clusters import Clusters
from infra.clients.errors import InvalidInput

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
BODY_LIMIT = 4 * 1024 * 1024


def application(token: str, clusters: Clusters, status: Callable[[], dict[str, Any]]) -> web.Application:
    """The API as an aiohttp application.

    Args:
        token: callers send it as `Authorization: Bearer …`.
        clusters: what it changes.
        status: the answer to GET /status.
    """

    @web.middleware
    async def authorised(request: web.Request, handler: Handler) -> web.StreamResponse:
        given = request.headers.get("Authorization", "")
        if not hmac.compare_digest(given.encode(), f"Bearer {token}".encode()):
            return web.json_response({"error": "The token is missing or wrong."}, status=401)
        try:
            return await handler(request)
        except InvalidInput as error:
            return web.json_response({"error": str(error)}, status=400)

    async def get_status(request: web.Request) -> web.Response:
        return web.json_response(status())

    async def get_cluster(request: web.Request) -> web.Response:
        uuid = request.match_info["uuid"]
        if uuid not in clusters.documents:
            return web.json_response({"error": f"There is no cluster {uuid}."}, status=404)
        return web.json_response(clusters.answer(uuid))

    async def put_cluster(request: web.Request) -> web.Response:
        try:
            body = await request.json()
        except ValueError as error:
            raise InvalidInput("The request's body is not JSON.") from error
        return web.json_response(await clusters.put(request.match_info["uuid"], body))

    async def delete_cluster(request: web.Request) -> web.Response:
        await clusters.delete(request.match_info["uuid"])
        return web.Response(status=204)

    app = web.Application(middlewares=[authorised], client_max_size=BODY_LIMIT)
    app.add_routes(
        [
            web.get("/status", get_status),
            web.get("/clusters/{uuid}", get_cluster),
            web.put("/clusters/{uuid}", put_cluster),
            web.delete("/clusters/{uuid}", delete_cluster),
        ]
    )
    return app
