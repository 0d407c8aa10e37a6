"""Shared by the proxies: connections passed on in both directions, and closed at the end."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress

Way = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]
"""Passes one direction of a connection on, until it ends."""


@asynccontextmanager
async def tcp_proxy(
    target: Callable[[], int], to_server: Way, from_server: Way
) -> AsyncIterator[int]:
    """Listen on a free loopback port; yield it. Each connection goes to the server on the port that
    ``target`` returns then.

    A connection is cut on both sides as soon as one of its two ways has ended.
    """
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, EOFError, asyncio.CancelledError):
            await _between(target(), reader, writer, to_server, from_server)
        writer.transport.abort()
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def copy(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Pass everything on."""
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()


async def _between(
    target: int,
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    to_server: Way,
    from_server: Way,
) -> None:
    its_reader, its_writer = await asyncio.open_connection("127.0.0.1", target)
    ways = [
        asyncio.ensure_future(to_server(reader, its_writer)),
        asyncio.ensure_future(from_server(its_reader, writer)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        its_writer.transport.abort()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)
