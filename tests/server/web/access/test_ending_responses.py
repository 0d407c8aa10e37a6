"""A response over a real connection ends when its caller is no longer valid."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

import pytest
from socket_server import App, connected

from server.security.callers import Caller
from server.security.exposure import Access
from server.security.keys import Role
from server.settings import SecuritySettings
from server.web.access import auth
from server.web.access.auth import Gate
from server.web.access.keyring import Keyring

GET = b"GET /v1/videos HTTP/1.1\r\nHost: here\r\nAuthorization: Bearer key\r\n\r\n"
WAIT = 30.0
ANNOUNCED = [(b"content-length", b"%d" % 10**9)]


class Revoked(Keyring):
    """Accepts any key, and then finds it revoked."""

    async def by_key(self, text: str) -> Caller:
        return Caller(text, Role.ADMIN)

    async def is_valid(self, caller: Caller) -> bool:  # noqa: ARG002
        return False


@pytest.fixture(autouse=True)
def soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(auth, "RECHECK_SECONDS", 0.2)
    monkeypatch.setattr(auth, "CLOSE_SECONDS", 0.2)


async def a_piece_and_nothing_more(send: Any) -> None:
    await send({"type": "http.response.body", "body": b"piece", "more_body": True})
    await asyncio.Event().wait()


async def more_than_is_read(send: Any) -> None:
    while True:
        await send({"type": "http.response.body", "body": bytes(2**20), "more_body": True})


def answering(headers: list[tuple[bytes, bytes]], body: Callable[[Any], Awaitable[None]]) -> App:
    async def app(_: Any, __: Any, send: Any) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await body(send)

    return app


async def told_after_the_server_ended(app: App) -> bytes:
    """Read nothing before the server is done with the request; then return all that came."""
    ended = asyncio.Event()
    gate = Gate(app, Access.KEYS, SecuritySettings(hosts=("here",)), Revoked(b"", 60.0), print)

    async def served(scope: Any, receive: Any, send: Any) -> None:
        try:
            await gate(scope, receive, send)
        finally:
            ended.set()

    async with asyncio.timeout(WAIT), connected(served) as (reader, writer):
        writer.write(GET)
        await ended.wait()
        told = b""
        with suppress(ConnectionResetError):
            while part := await reader.read(2**16):
                told += part
                if told.endswith(b"0\r\n\r\n"):
                    break
        return told


@pytest.mark.parametrize("body", [a_piece_and_nothing_more, more_than_is_read])
def test_a_download_is_broken_off(
    body: Callable[[Any], Awaitable[None]], caplog: pytest.LogCaptureFixture
) -> None:
    told = asyncio.run(told_after_the_server_ended(answering(ANNOUNCED, body)))
    assert told.startswith(b"HTTP/1.1 200 ") and len(told) < 10**9
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


def test_a_stream_of_events_ends_as_usual() -> None:
    told = asyncio.run(told_after_the_server_ended(answering([], a_piece_and_nothing_more)))
    assert told.endswith(b"5\r\npiece\r\n0\r\n\r\n")


def test_a_stream_that_nobody_reads_is_broken_off(caplog: pytest.LogCaptureFixture) -> None:
    told = asyncio.run(told_after_the_server_ended(answering([], more_than_is_read)))
    assert not told.endswith(b"0\r\n\r\n")
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []
