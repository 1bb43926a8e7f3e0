"""A TCP proxy on loopback that keeps what a client sends for a while: an API server that is farther away."""

from __future__ import annotations

import argparse
import asyncio
import contextlib


async def serve(listen: int, to: int, seconds: float) -> None:
    """Pass connections on until cancelled, each chunk from the client after `seconds`."""

    async def connection(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        there, back = await asyncio.open_connection("127.0.0.1", to)
        async with asyncio.TaskGroup() as group:
            group.create_task(_pass(reader, back, seconds))
            group.create_task(_pass(there, writer, 0))

    server = await asyncio.start_server(connection, "127.0.0.1", listen)
    async with server:
        print("listening", flush=True)
        await server.serve_forever()


async def _pass(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, seconds: float) -> None:
    with contextlib.suppress(ConnectionError):
        while chunk := await reader.read(65536):
            if seconds:
                await asyncio.sleep(seconds)
            writer.write(chunk)
            await writer.drain()
    with contextlib.suppress(ConnectionError, OSError):
        writer.close()


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--listen", type=int, required=True)
    parser.add_argument("--to", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    options = parser.parse_args()
    with contextlib.suppress(KeyboardInterrupt):
        asyncio.run(serve(options.listen, options.to, options.seconds))
