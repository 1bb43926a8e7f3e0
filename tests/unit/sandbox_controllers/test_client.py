"""The controllers' Kubernetes client, where its TLS connections end."""

from __future__ import annotations

import asyncio
import contextlib
import gc
import json
import socket
import ssl
import threading
import warnings
from collections.abc import Iterator
from pathlib import Path

from infra.sandbox.controllers.kube.client import Client
from infra.sandbox.controllers.kube.resources import PODS
from infra.sandbox.envtest_home import prepare

EVENT = {"type": "BOOKMARK", "object": {"metadata": {"resourceVersion": "2"}}}


@contextlib.contextmanager
def inattentive(home: Path) -> Iterator[None]:
    """An API server that begins a watch and then looks at nothing any more, not even at the end of TLS."""
    listener = socket.create_server(("127.0.0.1", 0))
    prepare(home, f"https://127.0.0.1:{listener.getsockname()[1]}")
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


async def watch_once(kubeconfig: Path) -> None:
    async with Client.from_kubeconfig(kubeconfig) as client, contextlib.aclosing(client.watch(PODS, "1")) as events:
        assert await anext(events) == EVENT


def test_a_watch_left_early_leaves_no_connection_behind_however_slow_the_server(tmp_path: Path) -> None:
    with inattentive(tmp_path), warnings.catch_warnings(record=True) as said:
        warnings.simplefilter("always")
        asyncio.run(watch_once(tmp_path / "admin.kubeconfig"))
        gc.collect()
    assert [str(one.message) for one in said] == []
