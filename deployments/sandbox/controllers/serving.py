"""The end of serving: no connection outlives it."""

from __future__ import annotations

from aiohttp import web


async def stop_serving(runner: web.AppRunner) -> None:
    """Let running requests finish, then drop every connection.

    aiohttp closes them, which over TLS waits for the peer's end of it; a busy or a stopped peer sends that too late.
    """
    connections = runner.server.connections if runner.server is not None else []
    transports = [each.transport for each in connections if each.transport is not None]
    await runner.cleanup()
    for transport in transports:
        transport.abort()
