"""A proxy in front of an HTTP server that cuts connections while a client uploads."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass

from tcp_proxy import copy, tcp_proxy


@dataclass
class CuttingProxy:
    """Its port, the server's port, and when it cuts: after ``every`` bytes of the client, ``cuts``
    times; ``on_cut`` is then called with the number of cuts left. All may be changed."""

    target: int
    cuts: int
    every: int
    on_cut: Callable[[int], None] = lambda _: None
    port: int = 0
    passed: int = 0

    def cut(self, size: int) -> bool:
        """Count bytes of the client; return whether to cut the connection after them."""
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

    async def to_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        while data := await reader.read(65536):
            writer.write(data)
            await writer.drain()
            if proxy.cut(len(data)):
                return

    async with tcp_proxy(lambda: proxy.target, to_server, copy) as proxy.port:
        yield proxy
