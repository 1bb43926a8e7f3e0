"""Watches: a stream of events that starts with what the client missed and ends with its timeout."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Mapping
from typing import TYPE_CHECKING

from aiohttp import web

from deployments.sandbox.kubernetes import reading
from deployments.sandbox.kubernetes.errors import StatusError
from deployments.sandbox.kubernetes.storage import Change

if TYPE_CHECKING:
    from deployments.sandbox.kubernetes.calls import Where
    from deployments.sandbox.kubernetes.server import ApiServer

BOOKMARK_EVERY = 60.0
"""Seconds between bookmarks, as often as the real server sends them."""


async def serve(
    server: ApiServer, request: web.Request, where: Where, query: Mapping[str, str], view: reading.View
) -> web.StreamResponse:
    """Answer a watch; a too old resourceVersion is an ERROR event in the stream, as on the real server."""
    fields = dict(query)
    if where.name:
        fields["fieldSelector"] = f"metadata.name={where.name}"
    chosen = reading.Filter.of(where.resource, fields)
    translate = reading.Translator(where.resource, where.namespace, chosen, view)
    response = web.StreamResponse(headers={"Content-Type": "application/json", "Transfer-Encoding": "chunked"})
    changes: asyncio.Queue[Change] = asyncio.Queue()
    # Subscribing and reading the history are one step of the event loop: nothing falls between them.
    stop = server.storage.subscribe(changes.put_nowait)
    try:
        lines = reading.start_events(server.storage, where.resource, where.namespace, fields, translate)
        closing = False
    except StatusError as error:
        if error.code != 410:
            stop()
            raise
        lines, closing = [reading.Translator.error(error)], True
    try:
        await response.prepare(request)
        if lines:
            await response.write(b"".join(lines))
        if not closing:
            await _follow(server, response, changes, translate, query)
    except ConnectionResetError:
        return response
    finally:
        stop()
    return response


async def _follow(
    server: ApiServer,
    response: web.StreamResponse,
    changes: asyncio.Queue[Change],
    translate: reading.Translator,
    query: Mapping[str, str],
) -> None:
    """Write events until the timeout, the client's going or the server's end."""
    loop = asyncio.get_running_loop()
    asked = query.get("timeoutSeconds", "")
    deadline = loop.time() + (float(asked) if asked.isdigit() and asked != "0" else random.uniform(1800, 3600))
    bookmarks = query.get("allowWatchBookmarks") in ("true", "1")
    next_bookmark = loop.time() + BOOKMARK_EVERY
    ending = asyncio.create_task(server.stopping.wait())
    try:
        while loop.time() < deadline and not ending.done():
            getting = asyncio.ensure_future(changes.get())
            until = min(deadline, next_bookmark) if bookmarks else deadline
            done, _ = await asyncio.wait(
                {getting, ending}, timeout=max(until - loop.time(), 0), return_when="FIRST_COMPLETED"
            )
            if getting in done:
                line = translate(getting.result())
                if line is not None:
                    await response.write(line)
            else:
                getting.cancel()
            if bookmarks and loop.time() >= next_bookmark:
                next_bookmark = loop.time() + BOOKMARK_EVERY
                await response.write(translate.bookmark(server.storage.version))
        if bookmarks and not ending.done():
            await response.write(translate.bookmark(server.storage.version))
    finally:
        ending.cancel()
