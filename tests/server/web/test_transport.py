"""StreamTransport: a close arrives, or the connection is cut; no client can hold it up."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import uvicorn

from server.web.transport import StreamTransport

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@asynccontextmanager
async def serving(app: Any, transport: type[StreamTransport]) -> AsyncIterator[int]:
    """The port of a server in this event loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app, ws=transport, ws_max_size=1000, lifespan="off", log_config=None, ws_ping_interval=None
    )
    server = uvicorn.Server(config)
    running = asyncio.create_task(server._serve([listener]))
    try:
        while not server.started:  # noqa: ASYNC110  uvicorn has no event for it
            await asyncio.sleep(0.01)
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        await running


def test_too_big_a_message_is_answered_by_1009_even_in_mid_send() -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1009

    async def scenario() -> bytes:
        async with serving(app, StreamTransport) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"\x82\xff" + struct.pack(">Q", 20_000_000) + bytes(4))
            writer.write(bytes(20_000_000))
            await writer.drain()
            told = await reader.read()
            writer.close()
            await writer.wait_closed()
            return told

    told = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert told[:1] == b"\x88"
    assert told[2:].startswith(struct.pack(">H", 1009) + b"too_large: ")


def test_a_close_is_not_held_up_by_a_client_that_does_not_read() -> None:
    closed = asyncio.Event()

    class Quick(StreamTransport):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.close_timeout = 0.1

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            closed.set()

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        try:
            async with asyncio.timeout(0.5):
                while True:
                    await send({"type": "websocket.send", "bytes": bytes(1_000_000)})
        except TimeoutError:
            await send({"type": "websocket.close", "code": 4408, "reason": "too_slow"})

    async def scenario() -> None:
        async with serving(app, Quick) as port:
            _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
            writer.write(HANDSHAKE)
            await closed.wait()
            writer.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
