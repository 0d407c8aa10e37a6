"""HttpTransport: every request that is too large, too slow or one of too many gets an answer."""

from __future__ import annotations

import asyncio
import json
import time
from contextlib import suppress
from functools import partial
from typing import Any

import pytest
from socket_server import App, connected

from server.web.transports.http_transport import HttpTransport

GET = b"GET / HTTP/1.1\r\nHost: here\r\n\r\n"
UPGRADE = (
    b"Host: here\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n"
)


class Quick(HttpTransport):
    """Gives up after a moment."""

    head_seconds = 0.2
    body_seconds = 0.2


async def echo(scope: Any, receive: Any, send: Any) -> None:
    """Answer with the path and the length of the body; accept every WebSocket."""
    if scope["type"] == "websocket":
        await receive()
        await send({"type": "websocket.accept"})
        await receive()
        return
    size = 0
    while (message := await receive())["type"] == "http.request":
        size += len(message["body"])
        if not message["more_body"]:
            await answer(send, b"%s %d\n" % (scope["raw_path"], size))
            return


async def answer(send: Any, body: bytes) -> None:
    headers = [(b"content-length", b"%d" % len(body))]
    await send({"type": "http.response.start", "status": 200, "headers": headers})
    await send({"type": "http.response.body", "body": body})


def talk(
    sent: bytes, app: App = echo, transport: type[HttpTransport] = HttpTransport
) -> tuple[bytes, bytes]:
    """Send bytes and read to the end of the connection: the status line and the body."""

    async def scenario() -> bytes:
        async with connected(app, transport) as (reader, writer):
            writer.write(sent)
            return await reader.read()

    return split(asyncio.run(asyncio.wait_for(scenario(), 30)))


def split(told: bytes) -> tuple[bytes, bytes]:
    head, _, body = told.partition(b"\r\n\r\n")
    return head.split(b"\r\n")[0], body


HEADS = {
    "a long cookie": (b"/", b"Cookie: " + b"a" * 9000 + b"\r\n", 431, "headers_too_large"),
    "many headers": (b"/", b"".join(b"X-%d: 1\r\n" % n for n in range(130)), 431, None),
    "a large head": (b"/", (b"X: " + b"a" * 7000 + b"\r\n") * 20, 431, "headers_too_large"),
    "a header without end": (b"/", b"X: " + b"a" * 10**6, 431, "headers_too_large"),
    "a long query": (b"/?model=" + b"a" * 9000, b"", 414, "url_too_long"),
    "a URL without end": (b"/" + b"a" * 10**6, b"", 414, "url_too_long"),
}


@pytest.mark.parametrize("more", [b"Host: here\r\n", UPGRADE], ids=["http", "websocket"])
@pytest.mark.parametrize(("path", "headers", "status", "code"), HEADS.values(), ids=HEADS)
def test_a_head_over_a_limit_is_answered(
    more: bytes, path: bytes, headers: bytes, status: int, code: str | None
) -> None:
    line, body = talk(b"GET " + path + b" HTTP/1.1\r\n" + more + headers + b"\r\n")
    assert line.startswith(b"HTTP/1.1 %d " % status)
    problem = json.loads(body)
    assert problem["status"] == status
    assert problem["code"] == (code or "headers_too_large")


def test_a_head_within_the_limits_is_served() -> None:
    headers = b"".join(b"X-%d: %s\r\n" % (n, b"a" * 400) for n in range(120))
    request = b"GET /here HTTP/1.1\r\nConnection: close\r\nCookie: " + b"a" * 7000 + b"\r\n"
    assert talk(request + headers + b"\r\n") == (b"HTTP/1.1 200 OK", b"/here 0\n")


def test_a_handshake_with_a_long_cookie_is_accepted() -> None:
    async def scenario() -> bytes:
        async with connected(echo) as (reader, writer):
            writer.write(b"GET / HTTP/1.1\r\nCookie: " + b"a" * 7000 + b"\r\n" + UPGRADE + b"\r\n")
            return await reader.readuntil(b"\r\n\r\n")

    assert asyncio.run(asyncio.wait_for(scenario(), 30)).startswith(b"HTTP/1.1 101 ")


@pytest.mark.parametrize("line", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n"])
def test_a_handshake_that_its_parser_refuses_is_answered(line: bytes) -> None:
    status, body = talk(b"GET / HTTP/1.1\r\n" + UPGRADE + line + b"\r\n")
    assert status.startswith(b"HTTP/1.1 400 ")
    assert json.loads(body)["code"] == "bad_message"


def test_bytes_that_are_no_request_are_answered() -> None:
    line, body = talk(b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03 hello\r\n\r\n")
    assert line == b"HTTP/1.1 400 Bad Request"
    assert json.loads(body)["code"] == "bad_message"


@pytest.mark.parametrize(
    "begun",
    [
        b"GET / HTTP/1.1\r\nHost: here\r\nX-Slow: ",
        b"G",
        b"GET / HTTP/1.1\r\n" + UPGRADE,
        b"POST / HTTP/1.1\r\nHost: here\r\nContent-Length: 100\r\n\r\n12345",
        b"POST / HTTP/1.1\r\nHost: here\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n12345\r\n",
    ],
)
def test_a_request_that_is_never_finished_is_answered_by_408(begun: bytes) -> None:
    line, body = talk(begun, transport=Quick)
    assert line == b"HTTP/1.1 408 Request Timeout"
    assert json.loads(body)["code"] == "too_slow"


@pytest.mark.parametrize("sent", [b"", b"\r\n"])
def test_a_connection_without_a_request_is_closed_without_a_word(sent: bytes) -> None:
    assert talk(sent, transport=Quick) == (b"", b"")


def test_a_connection_that_drips_between_two_requests_is_closed() -> None:
    async def scenario() -> bytes:
        async with connected(echo, transport=Quick) as (reader, writer):
            writer.write(GET)
            told = await reader.readuntil(b"/ 0\n")
            with suppress(ConnectionError):
                while not reader.at_eof():
                    writer.write(b"\r\n")
                    with suppress(TimeoutError):
                        await asyncio.wait_for(reader.read(1), 0.05)
            return told

    assert asyncio.run(asyncio.wait_for(scenario(), 30)).startswith(b"HTTP/1.1 200 ")


def test_an_application_is_told_that_a_slow_client_has_left() -> None:
    told: list[str] = []

    async def app(_: Any, receive: Any, send: Any) -> None:  # noqa: ARG001
        while (message := await receive())["type"] == "http.request":
            pass
        told.append(message["type"])

    line, _ = talk(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1", app, Quick)
    assert line == b"HTTP/1.1 408 Request Timeout" and told == ["http.disconnect"]


def test_a_slow_answer_is_not_the_clients_fault() -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await asyncio.sleep(3 * Quick.head_seconds)
        await answer(send, b"late")

    request = b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n"
    assert talk(request, app, Quick) == (b"HTTP/1.1 200 OK", b"late")


def test_a_body_that_the_server_does_not_read_is_not_the_clients_fault() -> None:
    async def app(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(4 * Quick.body_seconds)
        await echo(scope, receive, send)

    size = 4_000_000
    request = b"POST /up HTTP/1.1\r\nConnection: close\r\nContent-Length: %d\r\n\r\n" % size
    line, body = talk(request + bytes(size), app, Quick)
    assert (line, body) == (b"HTTP/1.1 200 OK", b"/up %d\n" % size)


def test_an_answer_before_the_end_of_the_body_stays_the_only_one() -> None:
    async def app(_: Any, receive: Any, send: Any) -> None:
        await receive()
        await answer(send, b"no")

    told = talk(b"POST / HTTP/1.1\r\nContent-Length: 9\r\n\r\n1", app, Quick)
    assert told == (b"HTTP/1.1 200 OK", b"no")


@pytest.mark.parametrize(("method", "body"), [(b"GET", b""), (b"POST", b"abc")])
def test_pipelined_requests_are_answered_in_order_and_a_few_are_parsed_at_once(
    method: bytes, body: bytes
) -> None:
    parsed = 0

    class Watched(HttpTransport):
        def on_message_complete(self) -> None:
            nonlocal parsed
            super().on_message_complete()
            parsed = max(parsed, len(self.pipeline))

    line = method + b" /%d HTTP/1.1\r\nContent-Length: %d\r\n\r\n" + body
    requests = b"".join(line % (number, len(body)) for number in range(200))

    async def scenario() -> bytes:
        async with connected(echo, transport=Watched) as (reader, writer):
            writer.write(requests + b"GET /end HTTP/1.1\r\nConnection: close\r\n\r\n")
            return await reader.read()

    told = asyncio.run(asyncio.wait_for(scenario(), 30))
    expected = [b"/%d %d" % (number, len(body)) for number in range(200)] + [b"/end 0"]
    assert [one for one in told.split(b"\n") if one.startswith(b"/")] == expected
    assert parsed < 100


def test_more_requests_than_the_allowance_wait() -> None:
    async def scenario() -> float:
        async with connected(echo) as (reader, writer):
            loop = asyncio.get_running_loop()
            began = loop.time()
            writer.write(GET * 99 + GET.replace(b"Host", b"Connection: close\r\nHost"))
            assert (await reader.read()).count(b"HTTP/1.1 200 OK") == 100
            return loop.time() - began

    # 50 at once, and the other 50 at 200 a second; a few are parsed together.
    assert asyncio.run(asyncio.wait_for(scenario(), 30)) > 0.15


def test_a_request_in_pieces_is_one() -> None:
    async def scenario() -> bytes:
        async with connected(echo) as (reader, writer):
            request = b"POST /a HTTP/1.1\r\nConnection: close\r\nContent-Length: 5000\r\n\r\n"
            for byte in request:
                writer.write(bytes((byte,)))
                await writer.drain()
                await asyncio.sleep(0)
            writer.write(bytes(5000))
            return await reader.read()

    told = asyncio.run(asyncio.wait_for(scenario(), 30))
    assert split(told) == (b"HTTP/1.1 200 OK", b"/a 5000\n")


class Turns:
    """Stands for BodyPace: whoever sends a body waits after each piece of it, so many times."""

    def __init__(self, pauses: int, seconds: float = 0.02) -> None:
        self.left = pauses
        self.came_bytes = 0
        self.most_at_once = 0
        self._since_asked = 0
        self._seconds = seconds

    def came(self, size: int, scope: Any, now: float) -> None:
        assert scope["path"] and now > 0
        self.came_bytes += size
        self._since_asked += size
        self.most_at_once = max(self.most_at_once, self._since_asked)

    def pause(self, now: float) -> float:
        assert now > 0
        self._since_asked = 0
        self.left -= 1
        return self._seconds if self.left >= 0 else 0.0


def paced(turns: Turns) -> Any:
    """The transport with this pace."""
    return partial(HttpTransport, make_pace=lambda: turns)


def post(body: bytes, more: bytes = b"") -> bytes:
    return b"POST /here HTTP/1.1\r\nContent-Length: %d\r\n%s\r\n" % (len(body), more) + body


CLOSING = GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")


@pytest.mark.parametrize("size", [1, 4096, 10**6])
def test_a_body_that_is_held_back_is_read_later_and_loses_nothing(size: int) -> None:
    turns = Turns(10**6 // 2**16 if size > 2**16 else 1)
    began = time.monotonic()
    line, body = talk(post(bytes(size), b"Connection: close\r\n"), transport=paced(turns))
    assert (line, body) == (b"HTTP/1.1 200 OK", b"/here %d\n" % size)
    assert turns.came_bytes == size and turns.most_at_once <= 4096
    if turns.left <= 0:
        assert time.monotonic() - began > 0.02


def test_a_request_behind_a_body_that_is_held_back_is_answered_too() -> None:
    told = talk(post(bytes(10**5)) + CLOSING, transport=paced(Turns(3)))
    assert told[0] == b"HTTP/1.1 200 OK" and told[1].endswith(b"/ 0\n")
    assert b"/here 100000\n" in told[1]


def test_the_rest_of_a_body_that_is_answered_already_is_held_back_too() -> None:
    async def at_once(scope: Any, _: Any, send: Any) -> None:
        await answer(send, b"%s\n" % scope["raw_path"])

    turns = Turns(5)
    told = talk(post(bytes(10**6)) + CLOSING, at_once, paced(turns))
    assert told[1].startswith(b"/here\n") and told[1].endswith(b"/\n")
    assert turns.came_bytes == 10**6 and turns.left < 0


def test_an_application_that_takes_nothing_is_not_read_on_by_a_turn() -> None:
    async def slow(scope: Any, receive: Any, send: Any) -> None:
        await asyncio.sleep(0.3)
        assert turns.came_bytes < 10**6
        await echo(scope, receive, send)

    turns = Turns(2)
    line, body = talk(post(bytes(10**7), b"Connection: close\r\n"), slow, paced(turns))
    assert (line, body) == (b"HTTP/1.1 200 OK", b"/here %d\n" % 10**7)


def test_who_is_held_back_is_not_too_slow() -> None:
    class QuickAndPaced(Quick):
        def __init__(self, *args: Any, **kwargs: Any) -> None:
            super().__init__(*args, make_pace=lambda: Turns(1, 1.0), **kwargs)

    line, _ = talk(post(bytes(10**5), b"Connection: close\r\n"), transport=QuickAndPaced)
    assert line == b"HTTP/1.1 200 OK"


def test_an_endless_body_that_is_answered_already_ends_the_connection() -> None:
    async def at_once(_: Any, __: Any, send: Any) -> None:
        await answer(send, b"no\n")

    async def scenario() -> bytes:
        async with connected(at_once, Quick) as (reader, writer):
            writer.write(b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n")
            with suppress(OSError):
                while True:
                    writer.write(b"1000\r\n" + bytes(0x1000) + b"\r\n")
                    await writer.drain()
            return await reader.read()

    with suppress(ConnectionResetError):  # the kernel may discard the response with the connection
        assert asyncio.run(asyncio.wait_for(scenario(), 30)).endswith(b"no\n")
