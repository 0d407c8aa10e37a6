"""Callbacks are called until they are answered."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from fractions import Fraction
from ipaddress import ip_address
from pathlib import Path

import httpx
import pytest
from own_rows import SEAL, OwnRows

from server.database.callbacks import CallbackRows
from server.database.connection import sqlite_url
from server.database.video_record import VideoRecord, VideoState
from server.dialling.dial import Guard
from server.errors import NotFound, SourceForbidden
from server.frame import VideoInfo
from server.security.addresses import address_rules
from server.threads import ThreadRunner
from server.videos import calling
from server.videos.callbacks import GIVE_UP_SECONDS, signed_headers
from server.videos.calling import Caller, post
from server.videos.progress import Video, video_now

pytestmark = pytest.mark.anyio

INFO = VideoInfo(64, 48, 10, 0.4, Fraction(25), Fraction(1, 1000))
SECRET = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLjSw"
ENDED = 3.0


HOOK = "http://host/s3cret?token=s3cret"


class Receiver:
    """Takes calls; answers with ``status``, or not at all if that is an error."""

    def __init__(self, status: int | Exception = 204) -> None:
        self.status = status
        self.calls: list[tuple[str, bytes, Mapping[str, str]]] = []
        self.called = asyncio.Event()

    async def __call__(self, url: str, body: bytes, headers: Mapping[str, str]) -> int:
        self.calls.append((url, body, headers))
        self.called.set()
        if isinstance(self.status, Exception):
            raise self.status
        return self.status


class House:
    """A caller for one ended video, with its own time."""

    def __init__(self, videos: OwnRows, disk: ThreadRunner, receiver: Receiver) -> None:
        self.now = ENDED
        self.videos = videos
        self.receiver = receiver
        rows = CallbackRows(videos.database, SEAL)
        self.caller = Caller(
            rows, disk, self._find, self._render, SECRET, lambda: self.now, receiver
        )

    async def _find(self, video: str) -> Video:
        record = self.videos.get(video)
        if record is None:
            raise NotFound("There is no such video.")
        return video_now(record, None, self.now)

    def _render(self, video: Video) -> bytes:
        return f"{video.record.id} {video.record.state}".encode()


@asynccontextmanager
async def house(folder: Path, receiver: Receiver) -> AsyncIterator[House]:
    videos, disk = OwnRows(sqlite_url(folder / "videos.db")), ThreadRunner("disk")
    record = VideoRecord("v", "clip", "fake", 6, INFO, ("masks.mkv",), "f", 1.0)
    videos.add(record, 9, HOOK)
    videos.finish(videos.begun("v"), VideoState.SUCCEEDED, ENDED, 10)
    try:
        yield House(videos, disk, receiver)
    finally:
        await disk.close()
        videos.close()


async def test_an_ended_video_is_sent_once_with_a_signature(tmp_path: Path) -> None:
    async with house(tmp_path, Receiver()) as found:
        await found.caller.call_due()
        await found.caller.call_due()
        ((url, body, headers),) = found.receiver.calls
    assert (url, body) == (HOOK, b"v succeeded")
    assert headers == signed_headers(SECRET, "v", ENDED, body) | {
        "Content-Type": "application/json"
    }


@pytest.mark.parametrize(
    "status", [500, 302, httpx.ConnectError("refused"), TimeoutError(), OSError(), KeyError("x")]
)
async def test_a_call_that_fails_is_tried_again_later(
    tmp_path: Path, status: int | Exception
) -> None:
    async with house(tmp_path, Receiver(status)) as found:
        await found.caller.call_due()
        await found.caller.call_due()
        assert len(found.receiver.calls) == 1
        found.now += 5.0
        found.receiver.status = 200
        await found.caller.call_due()
        assert len(found.receiver.calls) == 2
        found.now += 10**6
        await found.caller.call_due()
        assert len(found.receiver.calls) == 2


@pytest.mark.parametrize(
    "status", [500, 410, httpx.ConnectError("refused"), httpx.InvalidURL("port"), KeyError("x")]
)
async def test_the_address_is_never_logged(
    tmp_path: Path, status: int | Exception, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("DEBUG")
    async with house(tmp_path, Receiver(status)) as found:
        await found.caller.call_due()
        found.now += GIVE_UP_SECONDS + 60
        await found.caller.call_due()
        assert found.receiver.calls[0][0] == HOOK
    assert "s3cret" not in caplog.text


async def test_a_receiver_that_is_gone_is_not_called_again(tmp_path: Path) -> None:
    async with house(tmp_path, Receiver(410)) as found:
        await found.caller.call_due()
        found.now += 10**6
        await found.caller.call_due()
        assert len(found.receiver.calls) == 1


async def test_it_is_given_up_after_a_day(tmp_path: Path) -> None:
    async with house(tmp_path, Receiver(500)) as found:
        found.now += GIVE_UP_SECONDS
        await found.caller.call_due()
        found.now += 3600.0
        await found.caller.call_due()
        found.now += 3600.0
        await found.caller.call_due()
        assert len(found.receiver.calls) == 2


async def test_a_database_that_fails_ends_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(calling, "POLL_SECONDS", 0.0)
    async with house(tmp_path, Receiver()) as found:
        due = CallbackRows.due

        def fail_once(*_: object) -> object:
            monkeypatch.setattr(CallbackRows, "due", due)
            raise OSError("broken")

        monkeypatch.setattr(CallbackRows, "due", fail_once)
        running = asyncio.create_task(found.caller.run())
        await found.receiver.called.wait()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
    assert "cannot be called" in caplog.text


def any_address(**names: str) -> Guard:
    """Allows calls to loopback, and knows only these names."""
    rules = address_rules(("127.0.0.0/8",), (), is_local=False)
    return Guard(rules, lambda host: [ip_address(names[host])])


async def test_a_redirect_is_not_followed_and_an_endless_answer_is_not_read() -> None:
    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        received.append(head.split(b"\r\n")[0] + b" " + await reader.readexactly(4))
        writer.write(b"HTTP/1.1 302 Found\r\nLocation: /other\r\nContent-Length: 9000000\r\n\r\n")
        await writer.drain()
        await reader.read()
        writer.close()

    received: list[bytes] = []
    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    guard = any_address(receiver="127.0.0.1")
    for host in ("127.0.0.1", "receiver"):
        assert await post(f"http://{host}:{port}/hook", b"body", {"webhook-id": "v"}, guard) == 302
    assert received == [b"POST /hook HTTP/1.1 body"] * 2
    server.close()


async def test_only_an_address_that_may_be_opened_is_called() -> None:
    for url in ("http://10.0.0.1/hook", "http://inside/hook", "http://[::1]/hook"):
        with pytest.raises(SourceForbidden):
            await post(url, b"body", {}, any_address(inside="192.168.0.1"))
