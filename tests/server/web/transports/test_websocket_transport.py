"""StreamTransport: a close arrives, or the connection is cut; no client can hold it up."""

from __future__ import annotations

import asyncio
import socket
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from typing import Any

import pytest
import uvicorn
from starlette.websockets import WebSocket

from server.errors import TooLarge
from server.streams.ending import ending_of
from server.web.socket_ending import send_ending
from server.web.transports.stream_parser import FRAMES_A_TURN
from server.web.transports.websocket_transport import StreamTransport

pytestmark = pytest.mark.anyio

HANDSHAKE = (
    b"GET / HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@asynccontextmanager
async def serving(
    app: Any, transport: type[StreamTransport], max_size: int = 1000
) -> AsyncIterator[int]:
    """The port of a server in this event loop."""
    listener = socket.create_server(("127.0.0.1", 0))
    config = uvicorn.Config(
        app,
        ws=transport,
        ws_max_size=max_size,
        lifespan="off",
        log_config=None,
        ws_ping_interval=None,
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


async def test_too_big_a_message_is_answered_by_1009_even_in_mid_send() -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1009

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
    assert told[:1] == b"\x88"
    assert told[2:].startswith(struct.pack(">H", 1009) + b"too_large: ")


async def test_a_close_is_not_held_up_by_a_client_that_does_not_read() -> None:
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

    async with serving(app, Quick) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(HANDSHAKE)
        await closed.wait()
        writer.close()


async def fill(send: Any) -> None:
    """Send to a client that does not read until nothing more goes."""
    with suppress(TimeoutError):
        async with asyncio.timeout(0.5):
            while True:
                await send({"type": "websocket.send", "bytes": bytes(1_000_000)})


async def test_pings_of_a_client_that_does_not_read_do_not_pile_up() -> None:
    sizes: list[int] = []
    blocked, answered = asyncio.Event(), asyncio.Event()

    class Watched(StreamTransport):
        frames_a_second = 1e6

        def handle_ping(self) -> None:
            super().handle_ping()
            sizes.append(self.transport.get_write_buffer_size())

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        await fill(send)
        blocked.set()
        await answered.wait()

    async with serving(app, Watched) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(HANDSHAKE)
        await blocked.wait()
        for number in range(10_000):
            writer.write(b"\x89\xe4" + bytes(4) + b"%0100d" % number)
        await writer.drain()
        told = b""
        while not told.endswith(b"%0100d" % 9_999):
            told = (told + await reader.read(2**20))[-1000:]
        answered.set()
        writer.close()
    assert told.endswith(b"\x8a\x64" + b"%0100d" % 9_999)
    assert max(sizes) - sizes[0] < 500_000


def small(opcode: int, data: bytes = b"", fin: bool = True) -> bytes:
    """A masked frame of a client."""
    return bytes((opcode | 0x80 * fin, 0x80 | len(data))) + bytes(4) + data


FLOODS = {
    "pings": small(9) * 5000,
    "pongs": small(10) * 5000,
    "empty fragments": small(2, fin=False) + small(0, fin=False) * 5000,
    "fragments of a byte": small(1, fin=False) + small(0, b"x", fin=False) * 990 + small(9) * 3000,
}


@pytest.mark.parametrize("flood", FLOODS.values(), ids=FLOODS)
def test_a_flood_of_small_frames_is_closed_by_4429(flood: bytes) -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 4429

    async def scenario() -> bytes:
        async with serving(app, StreamTransport) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(flood)
            told = await reader.read()
            writer.close()
            return told.removeprefix(b"\x8a\x00" * told.count(b"\x8a\x00"))

    told = asyncio.run(asyncio.wait_for(scenario(), 60))
    assert told[:1] == b"\x88" and told[2:].startswith(struct.pack(">H", 4429) + b"quota: ")


def test_frames_of_one_read_are_taken_in_turns_and_none_is_lost() -> None:
    turns: list[int] = []

    class Watched(StreamTransport):
        def data_received(self, data: bytes) -> None:
            turns.append(0)
            super().data_received(data)

        def handle_ping(self) -> None:
            turns[-1] += 1
            super().handle_ping()

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["text"] == "end"
        await send({"type": "websocket.close"})

    async def scenario() -> None:
        async with serving(app, Watched) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(small(9) * 1500 + small(1, b"end"))
            await reader.readuntil(b"\x88")  # the close, after the pongs
            writer.close()

    asyncio.run(asyncio.wait_for(scenario(), 60))
    assert sum(turns) == 1500 and max(turns) <= FRAMES_A_TURN


def test_messages_wait_unparsed_for_an_application_that_is_slow() -> None:
    waiting: list[int] = []

    class Watched(StreamTransport):
        def data_received(self, data: bytes) -> None:
            super().data_received(data)
            waiting.append(self.queue.qsize())

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for number in range(1000):
            assert (await receive())["bytes"] == b"%d" % number
            await asyncio.sleep(0)
        await send({"type": "websocket.close"})

    async def scenario() -> bytes:
        async with serving(app, Watched) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"".join(small(2, b"%d" % number) for number in range(1000)))
            told = await reader.read(2)
            writer.close()
            return told

    assert asyncio.run(asyncio.wait_for(scenario(), 60))[:1] == b"\x88"
    assert max(waiting) <= FRAMES_A_TURN


def test_large_fragments_are_no_flood() -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        for _ in range(50):
            assert len((await receive())["bytes"]) == 100 * 1024
        await send({"type": "websocket.close", "code": 1000})

    part = b"\xfe" + struct.pack(">H", 1024) + bytes(4 + 1024)
    message = b"\x02" + part + (b"\x00" + part) * 98 + b"\x80" + part

    async def scenario() -> bytes:
        async with serving(app, StreamTransport, 2**20) as port:
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            writer.write(HANDSHAKE)
            await reader.readuntil(b"\r\n\r\n")
            writer.write(message * 50)
            told = await reader.read(4)
            writer.close()
            return told

    assert asyncio.run(asyncio.wait_for(scenario(), 60))[2:] == struct.pack(">H", 1000)


LAST = ending_of(TooLarge("no more of this"))


async def test_a_client_that_reads_late_is_told_the_end() -> None:
    blocked = asyncio.Event()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        web_socket = WebSocket(scope, receive, send)
        await web_socket.accept()
        await fill(send)
        blocked.set()
        await send_ending(web_socket, LAST, 30)

    async with serving(app, StreamTransport) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(HANDSHAKE)
        await blocked.wait()
        told = b""
        while not told.endswith(b"too_large"):
            told = (told + await reader.read(2**20))[-1000:]
        writer.close()
    assert b"no more of this" in told and told.endswith(struct.pack(">H", 4413) + b"too_large")


async def test_a_client_that_never_reads_is_cut_off_without_a_farewell() -> None:
    closed = asyncio.Event()

    class Quick(StreamTransport):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self.close_timeout = 0.1

        def connection_lost(self, exc: Exception | None) -> None:
            super().connection_lost(exc)
            closed.set()

    async def app(scope: Any, receive: Any, send: Any) -> None:
        web_socket = WebSocket(scope, receive, send)
        await web_socket.accept()
        await fill(send)
        await send_ending(web_socket, LAST, 0.1)

    async with serving(app, Quick) as port:
        _, writer = await asyncio.open_connection("127.0.0.1", port, limit=1)
        writer.write(HANDSHAKE)
        await closed.wait()
        writer.close()


@pytest.mark.parametrize(
    "parts", [(b"\x81\x82\0\0\0\0a\xff",), (b"\x01\x81\0\0\0\0a", b"\x80\x81\0\0\0\0\xff")]
)
async def test_text_that_is_not_utf8_is_answered_by_its_word(
    parts: tuple[bytes, ...], caplog: pytest.LogCaptureFixture
) -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1007

    async with serving(app, StreamTransport) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"".join(parts))
        told = await reader.read()
        writer.close()
    assert told[2:].startswith(struct.pack(">H", 1007) + b"bad_message: ")
    assert not [record for record in caplog.records if record.exc_info]


async def test_a_server_that_ends_says_so() -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        assert (await receive())["code"] == 1012

    async with serving(app, StreamTransport) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
    told = await reader.read()
    writer.close()
    assert told[2:] == struct.pack(">H", 1012) + b"going_away"


@pytest.mark.parametrize(
    ("last", "code"), [(b"", 1006), (small(8), 1005), (small(8, struct.pack(">H", 1000)), 1000)]
)
async def test_a_lost_connection_is_distinguished_from_a_close(last: bytes, code: int) -> None:
    told: asyncio.Future[int] = asyncio.get_running_loop().create_future()

    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await send({"type": "websocket.accept"})
        told.set_result((await receive())["code"])

    async with serving(app, StreamTransport) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(HANDSHAKE)
        await reader.readuntil(b"\r\n\r\n")
        writer.write(last)
        writer.close()
        await writer.wait_closed()
        assert await asyncio.wait_for(told, 10) == code
