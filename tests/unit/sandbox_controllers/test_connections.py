"""Where TLS connections end: no peer, however slow, keeps one open that we are done with."""

from __future__ import annotations

import asyncio
import contextlib
import datetime as dt
import gc
import json
import socket
import ssl
import threading
import warnings
from collections.abc import Coroutine, Iterator
from pathlib import Path
from typing import Any

from aiohttp import web

from deployments.sandbox.controllers import x509
from deployments.sandbox.controllers.kube.client import Client
from deployments.sandbox.controllers.kube.resources import PODS
from deployments.sandbox.controllers.serving import stop_serving
from deployments.sandbox.controlplane.home import prepare

EVENT = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "2"}}}


def left_open(work: Coroutine[Any, Any, None]) -> list[str]:
    """Do the work in an event loop of its own; returns what Python says of connections nobody has closed."""
    with warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        asyncio.run(work)
        gc.collect()
    return [str(one.message) for one in said]


@contextlib.contextmanager
def inattentive(home: Path) -> Iterator[None]:
    """An API server that begins a watch and then looks at nothing any more, not even at the end of TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    url = f"https://127.0.0.1:{listener.getsockname()[1]}"
    prepare(home, url, url)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(home / "server.crt", home / "server.key")
    over = threading.Event()

    def serve() -> None:
        with context.wrap_socket(listener, server_side=True) as secure, secure.accept()[0] as connection:
            connection.recv(65536)
            body = json.dumps(EVENT).encode() + b"\n"
            connection.sendall(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n%x\r\n%b\r\n" % (len(body), body))
            over.wait(10)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        yield
    finally:
        over.set()
        thread.join()


def test_a_watch_that_is_left_early(tmp_path: Path) -> None:
    async def watch() -> None:
        async with (
            Client.from_kubeconfig(tmp_path / "admin.kubeconfig") as client,
            contextlib.aclosing(client.watch(PODS, "1")) as events,
        ):
            assert await anext(events) == EVENT

    with inattentive(tmp_path):
        assert left_open(watch()) == []


def test_a_client_that_keeps_its_connection() -> None:
    key = x509.generate_key()
    leaf = x509.self_sign(key, x509.Subject("test", is_ca=True, usages=()), dt.timedelta(days=1))
    trusting = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    trusting.check_hostname, trusting.verify_mode = False, ssl.CERT_NONE
    kept: list[ssl.SSLSocket] = []

    def ask(port: int) -> bytes:
        kept.append(trusting.wrap_socket(socket.create_connection(("127.0.0.1", port))))
        kept[0].sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        return kept[0].recv(65536)

    async def serve() -> None:
        async def answer(_: web.Request) -> web.Response:
            return web.Response(text="here")

        app = web.Application()
        app.router.add_get("/", answer)
        runner = web.AppRunner(app, access_log=None)
        await runner.setup()
        context = x509.server_context(x509.pem(leaf), x509.key_pem(key))
        await web.TCPSite(runner, "127.0.0.1", 0, ssl_context=context).start()
        assert b"200 OK" in await asyncio.to_thread(ask, runner.addresses[0][1])
        await stop_serving(runner)

    try:
        assert left_open(serve()) == []
    finally:
        kept[0].close()
