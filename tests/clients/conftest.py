"""A small server that speaks the protocol, for tests of clients; each test defines what it does."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Awaitable, Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
from websockets.asyncio.server import ServerConnection
from websockets.asyncio.server import serve as serve_sockets
from websockets.exceptions import ConnectionClosed

import protocol

MODEL = {
    "name": "small",
    "classes": [{"name": "sky", "colour": [0, 0, 255]}, {"name": "road", "colour": [255, 0, 0]}],
    "height": 4,
    "width": 6,
    "memory_horizon": 2,
}


@dataclass
class Talk:
    """One conversation, seen from the server. ``heard`` is every message but frames."""

    socket: ServerConnection
    heard: list[protocol.ClientMessage] = field(default_factory=list)

    async def greet(
        self,
        window: int = 4,
        resume: str | None = None,
        memory: protocol.MemoryState = protocol.MemoryState.NEW,
        horizon: int | None = 2,
        **model: Any,
    ) -> protocol.Open:
        opened = await self.hear()
        assert isinstance(opened, protocol.Open)
        model = MODEL | {"memory_horizon": horizon} | model
        limits = protocol.Limits(2**20)
        await self.say(protocol.Ready("s", model, limits, window, resume, memory))
        return opened

    async def end(self) -> None:
        await self.say(protocol.End())
        await self.socket.wait_closed()

    async def hear(self) -> protocol.ClientMessage | tuple[protocol.FrameHeader, bytes]:
        """The next message; a frame as its header and picture."""
        data = await self.socket.recv()
        if isinstance(data, str):
            self.heard.append(protocol.parse_client(data))
            return self.heard[-1]
        return protocol.unpack_frame(data, 2**20)

    async def frame(self) -> tuple[protocol.FrameHeader, bytes] | None:
        """Return the next frame, or None at the end; other messages are skipped."""
        while not isinstance(heard := await self.hear(), tuple):
            if isinstance(heard, protocol.End):
                return None
        return heard

    async def say(self, message: protocol.ServerMessage) -> None:
        await self.socket.send(protocol.serialise(message))

    async def mask(self, seq: int, encoding: str = "png", **header: Any) -> None:
        """Return a mask of the model's size, all of the class seq % 2."""
        labels = np.full((4, 6), seq % 2, np.uint8)
        told = protocol.MaskHeader(
            seq=seq, encoding=protocol.MaskEncoding(encoding), width=6, height=4, **header
        )
        payload = protocol.encode_mask(labels, encoding, [(0, 0, 255), (255, 0, 0)])
        await self.socket.send(protocol.pack(told, payload))

    async def answer_all(self) -> None:
        """A mask for each frame, then the end."""
        while (heard := await self.frame()) is not None:
            await self.mask(heard[0].seq or 0)
        await self.say(protocol.End())


Handler = Callable[[Talk], Awaitable[None]]


@dataclass
class SmallServer:
    """Runs in a thread. ``talks`` are the conversations so far."""

    handler: Handler
    talks: list[Talk] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    url: str = ""
    ended: threading.Event = field(default_factory=threading.Event)

    def run(self, ready: threading.Event) -> None:
        asyncio.run(self._serve(ready))

    async def _serve(self, ready: threading.Event) -> None:
        self._loop, self._stop = asyncio.get_running_loop(), asyncio.Event()
        listener = serve_sockets(
            self._talk, "127.0.0.1", 0, subprotocols=[protocol.SUBPROTOCOL], close_timeout=1
        )
        async with listener as server:
            self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
            ready.set()
            await self._stop.wait()

    async def _talk(self, socket: ServerConnection) -> None:
        self.talks.append(Talk(socket))
        try:
            await self.handler(self.talks[-1])
        except ConnectionClosed:
            pass
        except Exception as error:
            self.failures.append(error)
        finally:
            self.ended.set()

    def stop(self) -> None:
        self._loop.call_soon_threadsafe(self._stop.set)


@pytest.fixture
def small_server() -> Iterator[Callable[[Handler], SmallServer]]:
    """Call it with a function for each conversation; it returns the server, which has a ``url``."""
    running: list[tuple[SmallServer, threading.Thread]] = []

    def start(handler: Handler) -> SmallServer:
        server, ready = SmallServer(handler), threading.Event()
        thread = threading.Thread(target=server.run, args=(ready,))
        thread.start()
        assert ready.wait(10), "the small server did not start"
        running.append((server, thread))
        return server

    yield start
    for server, thread in running:
        server.stop()
        thread.join(10)
        assert not thread.is_alive()
        assert server.failures == []


@pytest.fixture
def obliging(small_server: Callable[[Handler], SmallServer]) -> SmallServer:
    """A server that answers every frame with a mask."""

    async def handler(talk: Talk) -> None:
        await talk.greet()
        await talk.answer_all()
        await talk.socket.wait_closed()

    return small_server(handler)
