"""Opening a stream."""

from __future__ import annotations

import asyncio
import http
import socket
from typing import Any

import pytest

from clients.python import ClientError, NotOurs, Unreachable, connect
from clients.python.errors import Denied, NoCapacity, NotFound
from protocol import CloseCode, Failure, Open, parse_client

pytestmark = pytest.mark.anyio


async def open_only(url: str, **options: Any) -> Any:
    async with connect(url, **options) as stream:
        return stream.ready


async def test_the_server_says_what_it_has(obliging: Any) -> None:
    ready = await open_only(obliging.url)
    assert ready.window == 4
    assert ready.class_names == ("sky", "road")
    assert ready.palette == ((0, 0, 255), (255, 0, 0))


async def test_what_we_want_is_said_first(obliging: Any) -> None:
    await open_only(
        obliging.url,
        model="camvid",
        input="rgb24",
        width=6,
        height=4,
        output="rle",
        size="model",
        overlay=True,
        policy="every",
        budget_ms=50,
        headers={"Authorization": "Bearer k"},
    )
    (talk,) = obliging.talks
    given = '{"type":"open","input":"rgb24","width":6,"height":4,"output":"rle","size":"model",'
    given += '"overlay":true,"policy":"every","budget_ms":50}'
    assert talk.heard[0] == parse_client(given)
    request = talk.socket.request
    assert request.path == "/v1/stream?model=camvid"
    assert request.headers["Authorization"] == "Bearer k"
    assert request.headers["Sec-WebSocket-Protocol"] == "mastream.v1"
    assert "Sec-WebSocket-Extensions" not in request.headers


async def test_a_wish_that_no_server_knows_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match="sometimes"):
        await open_only("http://127.0.0.1:1", policy="sometimes")


async def test_nobody_there() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{unused.getsockname()[1]}"
        with pytest.raises(Unreachable, match=r"^No server answers at ws://.*refused\.$"):
            await open_only(url)


@pytest.mark.parametrize("url", ["ftp://host", "http://", "http://host:port"])
async def test_no_address(url: str) -> None:
    with pytest.raises(ClientError, match="address"):
        await open_only(url)


@pytest.mark.parametrize(
    ("close", "kind"),
    [
        (CloseCode.NO_CAPACITY, NoCapacity),
        (CloseCode.NOT_FOUND, NotFound),
        (CloseCode.UNAUTHENTICATED, Denied),
    ],
)
async def test_a_refusal_is_reported_in_the_servers_words(
    small_server: Any, close: int, kind: type[ClientError]
) -> None:
    async def refuse(talk: Any) -> None:
        assert isinstance(await talk.hear(), Open)
        await talk.say(Failure("some_code", "not today", 500, fatal=True))
        await talk.socket.close(close, "some_code")

    with pytest.raises(kind, match="not today") as caught:
        await open_only(small_server(refuse).url)
    assert caught.value.code == "some_code"


async def test_another_kind_of_server(small_server: Any) -> None:
    async def chat(talk: Any) -> None:
        await talk.socket.send("welcome to the chat")
        await talk.socket.wait_closed()

    with pytest.raises(NotOurs, match="does not follow mastream's protocol"):
        await open_only(small_server(chat).url)


async def test_a_web_server_that_speaks_no_websocket() -> None:
    async def answer(reader: Any, writer: Any) -> None:
        await reader.readuntil(b"\r\n\r\n")
        status = http.HTTPStatus.NOT_FOUND
        writer.write(f"HTTP/1.1 {status} {status.phrase}\r\nContent-Length: 0\r\n\r\n".encode())
        await writer.drain()
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with pytest.raises(NotFound, match="failed with status 404"):
            async with connect(f"http://127.0.0.1:{port}"):
                pass
