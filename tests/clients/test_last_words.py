"""The server's last message reaches the user, whatever the stream is doing when it arrives."""

from __future__ import annotations

from collections.abc import AsyncIterator
from typing import Any

import pytest
from websockets.asyncio.client import ClientConnection
from websockets.asyncio.client import connect as open_socket
from websockets.typing import Subprotocol

import clients.python.connection
from clients.python import ClientError, GoneAway, NotOurs, ServerFault, connect
from clients.python.errors import NoCapacity, NotFound, TooLarge, TooSlow
from clients.python.stream import Stream
from protocol import SUBPROTOCOL, Failure, GoingAway, Open

pytestmark = pytest.mark.anyio

JPEG = b"\xff\xd8\xff a picture"
NO_MODEL = Failure("not_found", "no model is called 'nope'", 404, fatal=True)


async def test_a_refusal_that_came_before_we_said_anything(small_server: Any) -> None:
    async def refuse(talk: Any) -> None:
        await talk.say(NO_MODEL)
        await talk.socket.close(4404, "not_found")

    async def run(url: str) -> None:
        protocols = [Subprotocol(SUBPROTOCOL)]
        socket = await open_socket(url.replace("http", "ws"), subprotocols=protocols)
        await socket.wait_closed()

        async def dial(_: str) -> ClientConnection:
            return socket

        await Stream(url, dial, Open()).open()

    with pytest.raises(NotFound, match="no model is called 'nope'"):
        await run(small_server(refuse).url)


async def streamed(url: str) -> list[int]:
    """The masks of a stream whose second frame is sent to a socket that was closed meanwhile."""
    seen: list[int] = []

    async with connect(url) as stream:

        async def frames() -> AsyncIterator[bytes]:
            yield JPEG
            await stream._link._socket.wait_closed()
            yield JPEG

        async for mask in stream.segment(frames()):
            seen.append(mask.seq)  # noqa: PERF401 - those before the error count
    return seen


@pytest.mark.parametrize(
    ("close", "word", "status", "kind"),
    [
        (1011, "engine_dead", 500, ServerFault),
        (4408, "too_slow", 408, TooSlow),
        (4413, "too_large", 413, TooLarge),
        (1013, "draining", 503, NoCapacity),
        (1000, "end", 503, NoCapacity),
        (4999, "news", 404, NotFound),
    ],
)
async def test_a_fatal_error_while_frames_are_sent(
    small_server: Any, close: int, word: str, status: int, kind: type[ClientError]
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.say(Failure(word, "the reason in words", status, fatal=True))
        await talk.socket.close(close, word)

    with pytest.raises(kind, match="the reason in words") as caught:
        await streamed(small_server(handler).url)
    assert caught.value.code == word


async def test_a_fatal_error_after_which_the_connection_is_cut(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.say(NO_MODEL)
        await talk.mask(0)
        talk.socket.transport.write_eof()

    with pytest.raises(NotFound, match="no model is called 'nope'") as caught:
        await streamed(small_server(handler).url)
    assert caught.value.code == "not_found"


@pytest.mark.parametrize("nonsense", [None, "no message of ours"])
@pytest.mark.parametrize("greets", [False, True])
async def test_a_fatal_error_after_which_nothing_sensible_comes(
    small_server: Any, monkeypatch: pytest.MonkeyPatch, greets: bool, nonsense: str | None
) -> None:
    monkeypatch.setattr(clients.python.connection, "CLOSE_SECONDS", 0.05)

    async def handler(talk: Any) -> None:
        if greets:
            await talk.greet()
        await talk.say(NO_MODEL)
        if nonsense:
            await talk.socket.send(nonsense)
        await talk.socket.wait_closed()

    with pytest.raises(NotFound, match="no model is called 'nope'"):
        await streamed(small_server(handler).url)


async def test_a_fatal_error_of_a_server_that_goes_away(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.say(GoingAway(500))
        await talk.say(Failure("draining", "the server moves to another port", 503, fatal=True))
        await talk.socket.close(1012, "going_away")

    with pytest.raises(GoneAway, match="moves to another port"):
        await streamed(small_server(handler).url)


@pytest.mark.parametrize(
    ("close", "reason", "kind", "says", "code"),
    [
        (1009, "too_large: over size limit of 9 bytes", TooLarge, "over size limit", "too_large"),
        (1009, "too_large", TooLarge, "closed the stream: too_large", "too_large"),
        (4999, "news: come by later", ClientError, "come by later", "news"),
    ],
)
async def test_a_close_whose_reason_holds_the_sentence(
    small_server: Any, close: int, reason: str, kind: type[ClientError], says: str, code: str
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.socket.close(close, reason)

    with pytest.raises(kind, match=says) as caught:
        await streamed(small_server(handler).url)
    assert caught.value.code == code


async def test_nonsense_without_a_fatal_error_is_called_that(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.socket.send("no message of ours")
        await talk.socket.wait_closed()

    with pytest.raises(NotOurs):
        await streamed(small_server(handler).url)
