"""A proxy in front of an HTTP server that cuts connections while a client uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass


@dataclass
class CuttingProxy:
    """Where it listens, the server's port, and when it cuts: after ``every`` bytes of the client's,
    ``cuts`` times; ``on_cut`` is then called with the number of cuts left. All may be changed."""

    target: int
    cuts: int
    every: int
    on_cut: Callable[[int], None] = lambda _: None
    port: int = 0
    passed: int = 0

    def cut(self, size: int) -> bool:
        """Count bytes of the client's; return whether to cut the connection after them."""
        self.passed += size
        if not self.cuts or self.passed < self.every:
            return False
        self.passed = 0
        self.cuts -= 1
        self.on_cut(self.cuts)
        return True


@asynccontextmanager
async def cutting_proxy(target: int, cuts: int, every: int) -> AsyncIterator[CuttingProxy]:
    """Listen on a free loopback port, in front of the server on the port ``target``."""
    proxy = CuttingProxy(target, cuts, every)
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        with suppress(OSError, asyncio.CancelledError):
            await _between(proxy, reader, writer)
        writer.transport.abort()
        tasks.discard(task)

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    proxy.port = server.sockets[0].getsockname()[1]
    try:
        yield proxy
    finally:
        server.close()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def _between(
    proxy: CuttingProxy, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
) -> None:
    """Pass both directions on until either side ends or the connection is cut."""
    from_server, to_server = await asyncio.open_connection("127.0.0.1", proxy.target)
    ways = [
        asyncio.create_task(_copy(reader, to_server, proxy.cut)),
        asyncio.create_task(_copy(from_server, writer, lambda _: False)),
    ]
    try:
        await asyncio.wait(ways, return_when=asyncio.FIRST_COMPLETED)
    finally:
        to_server.transport.abort()
        for way in ways:
            way.cancel()
        await asyncio.gather(*ways, return_exceptions=True)


async def _copy(
    reader: asyncio.StreamReader, writer: asyncio.StreamWriter, ended: Callable[[int], bool]
) -> None:
    while data := await reader.read(65536):
        writer.write(data)
        await writer.drain()
        if ended(len(data)):
            return
