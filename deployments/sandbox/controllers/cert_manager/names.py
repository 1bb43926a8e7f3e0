"""A way to the cluster's names: a proxy for plain HTTP that looks a name up in the sandbox and asks its ingress.

cert-manager looks at a challenge itself before it lets the ACME server look. It asks port 80 of a name that no resolver
of this machine knows; the sandbox's ingress listens on another port, since 80 would need root.
"""

from __future__ import annotations

import contextlib
import logging
from collections.abc import AsyncIterator
from urllib.parse import urlsplit

import aiohttp
import dns.asyncresolver
import dns.exception
from aiohttp import web

TIMEOUT = aiohttp.ClientTimeout(total=10)

log = logging.getLogger(__name__)


class Names:
    """The proxy.

    Args:
        servers: addresses of the name servers that know the names.
        dns_port: of theirs.
        http_port: where the ingress serves plain HTTP.
    """

    def __init__(self, servers: list[str], dns_port: int, http_port: int) -> None:
        self._resolver = dns.asyncresolver.Resolver(configure=False)
        self._resolver.nameservers = list(servers)
        self._resolver.port = dns_port
        self._resolver.lifetime = 5.0
        self._http_port = http_port
        self._session: aiohttp.ClientSession | None = None

    @contextlib.asynccontextmanager
    async def serving(self) -> AsyncIterator[str]:
        """Listen on a port of the loopback interface; gives the proxy's URL."""
        server = web.Server(self._answer)
        runner = web.ServerRunner(server)
        await runner.setup()
        site = web.TCPSite(runner, "127.0.0.1", 0)
        async with aiohttp.ClientSession(timeout=TIMEOUT) as self._session:
            await site.start()
            try:
                yield f"http://127.0.0.1:{runner.addresses[0][1]}"
            finally:
                await runner.cleanup()

    async def _answer(self, request: web.BaseRequest) -> web.StreamResponse:
        asked = urlsplit(request.raw_path if "://" in request.raw_path else f"http://{request.host}{request.raw_path}")
        host = asked.hostname or ""
        assert self._session is not None  # noqa: S101 - there is one while we serve
        try:
            addresses = [str(record) for record in await self._resolver.resolve(f"{host}.", "A")]
            url = f"http://{addresses[0]}:{self._http_port}{asked.path or '/'}"
            headers = {"Host": host, "User-Agent": request.headers.get("User-Agent", "")}
            async with self._session.get(url, headers=headers, allow_redirects=False) as answer:
                return web.Response(status=answer.status, body=await answer.read())
        except dns.exception.DNSException as error:
            log.info("%s is not known: %s", host, error)
            return web.Response(status=502, text=f"no such host: {host}\n")
        except aiohttp.ClientError as error:
            return web.Response(status=502, text=f"{host} does not answer: {error}\n")
