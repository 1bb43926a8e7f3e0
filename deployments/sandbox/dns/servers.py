"""DNS over UDP and TCP on asyncio, for any function that turns a query into an answer."""

from __future__ import annotations

import asyncio
import contextlib
import logging
from collections.abc import Awaitable, Callable
from typing import cast

import dns.exception
import dns.message
import dns.opcode
import dns.rcode

LOG = logging.getLogger(__name__)

Answer = Callable[[dns.message.Message], Awaitable[dns.message.Message]]

PLAIN_LIMIT = 512
"""Bytes of an answer over UDP to a client without EDNS (RFC 1035 section 4.2.1)."""

IDLE = 10.0
"""Seconds a TCP connection may be silent."""


class Server:
    """One address that answers.

    Args:
        answer: turns a query into its answer.
    """

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._tasks: set[asyncio.Task[None]] = set()
        self._udp: asyncio.DatagramTransport | None = None
        self._tcp: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> int:
        """Listen on UDP and TCP, at the same port.

        Args:
            host: the address.
            port: 0 for any that is free.

        Returns:
            The port.

        Raises:
            OSError: the address is taken.
        """
        loop = asyncio.get_running_loop()
        self._tcp = await asyncio.start_server(self._connected, host, port)
        port = self._tcp.sockets[0].getsockname()[1]
        self._udp, _ = await loop.create_datagram_endpoint(lambda: _Datagrams(self), local_addr=(host, port))
        return port

    async def stop(self) -> None:
        """Stop listening and end what is under way."""
        if self._udp is not None:
            self._udp.close()
        if self._tcp is not None:
            self._tcp.close()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def reply(self, wire: bytes, limit: int | None) -> bytes | None:
        """The answer to one message, or None where it is no query."""
        try:
            query = dns.message.from_wire(wire)
        except dns.exception.DNSException:
            return None
        try:
            response = await self._answer(query)
        except Exception:
            LOG.exception("No answer to %s", query.question)
            response = dns.message.make_response(query)
            response.set_rcode(dns.rcode.SERVFAIL)
        if limit is None:
            return response.to_wire()
        size = max(PLAIN_LIMIT, query.payload) if query.edns >= 0 else PLAIN_LIMIT
        # Too long: sent without its records and with TC set, so that the client asks again by TCP.
        return response.to_wire(max_size=min(size, limit), prefer_truncation=True)

    def spawn(self, coroutine: Awaitable[None]) -> None:
        """Run beside the others until done or stopped."""
        task = asyncio.ensure_future(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connected(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError, TimeoutError):
            while True:
                async with asyncio.timeout(IDLE):
                    size = int.from_bytes(await reader.readexactly(2), "big")
                    wire = await reader.readexactly(size)
                answer = await self.reply(wire, None)
                if answer is None:
                    break
                writer.write(len(answer).to_bytes(2, "big") + answer)
                await writer.drain()
        writer.close()


class _Datagrams(asyncio.DatagramProtocol):
    def __init__(self, server: Server) -> None:
        self._server = server

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        # What a datagram endpoint gives, though its class does not say so.
        self._transport = cast(asyncio.DatagramTransport, transport)

    def datagram_received(self, data: bytes, address: tuple[str | object, int]) -> None:
        self._server.spawn(self._reply(data, address))

    async def _reply(self, data: bytes, address: tuple[str | object, int]) -> None:
        answer = await self._server.reply(data, 65535)
        if answer is not None:
            self._transport.sendto(answer, address)
