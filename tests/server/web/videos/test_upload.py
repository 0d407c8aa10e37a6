"""Writing uploads to the disk."""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Iterable
from pathlib import Path

import pytest
from starlette.requests import Request
from starlette.types import Message

import server.web.videos.upload
from server.errors import BadRequest, BadVideo, MastreamError, NoCapacity, TooLarge, TooSlow
from server.web.videos.upload import CHUNK_BYTES, Upload, announced_size, receive, request_chunks

pytestmark = pytest.mark.anyio


class Sender:
    """An ASGI ``receive`` that returns chunks, then ends, is cut off or stays silent."""

    def __init__(self, chunks: Iterable[bytes], end: str = "end") -> None:
        self._chunks = iter(chunks)
        self._end = end
        self.taken = 0

    async def __call__(self) -> Message:
        for chunk in self._chunks:
            self.taken += len(chunk)
            return {"type": "http.request", "body": chunk, "more_body": True}
        if self._end == "silence":
            await asyncio.Event().wait()
        if self._end == "cut":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}


def request(sender: Sender, **headers: str) -> Request:
    raw = [(name.replace("_", "-").encode(), text.encode()) for name, text in headers.items()]
    return Request({"type": "http", "method": "POST", "headers": raw}, sender)


async def store(
    sender: Sender, path: Path, max_bytes: int = 10**9, largest: list[int] | None = None
) -> Upload:
    """Receive into ``path``; record in ``largest`` the size of each piece written."""
    noted: list[int] = [] if largest is None else largest
    return await receive(request(sender), path, max_bytes, noted.append)


async def test_a_raw_body_is_written_and_hashed(tmp_path: Path) -> None:
    path, content = tmp_path / "upload", bytes(range(256)) * 20_000
    sender = Sender(content[i : i + 65_536] for i in range(0, len(content), 65_536))
    upload = await store(sender, path)
    assert path.read_bytes() == content
    assert upload == Upload(len(content), hashlib.sha256(content).hexdigest(), None, {})


async def test_memory_holds_no_more_than_a_chunk(tmp_path: Path) -> None:
    pieces: list[int] = []
    piece = b"v" * 65_536
    upload = await store(Sender(piece for _ in range(512)), tmp_path / "upload", largest=pieces)
    assert upload.size == sum(pieces) == 512 * 65_536
    assert max(pieces) < CHUNK_BYTES + len(piece)


async def test_an_upload_that_is_cancelled_as_a_chunk_comes_ends() -> None:
    left = 100

    async def receive_and_cancel() -> Message:
        nonlocal left
        left -= 1
        await asyncio.sleep(0)
        asyncio.get_running_loop().call_soon(reading.cancel)
        return {"type": "http.request", "body": b"a", "more_body": left > 0}

    async def read() -> None:
        request = Request({"type": "http", "method": "POST", "headers": []}, receive_and_cancel)
        async for _ in request_chunks(request):
            pass

    reading = asyncio.create_task(read())
    with pytest.raises(asyncio.CancelledError):
        await reading
    assert left > 90


async def test_the_limit_stops_it_as_soon_as_it_is_passed(tmp_path: Path) -> None:
    sender = Sender(b"v" * 1000 for _ in range(100))
    with pytest.raises(TooLarge, match="10000 bytes"):
        await store(sender, tmp_path / "upload", max_bytes=10_000)
    assert sender.taken == 11_000


async def test_exactly_the_limit_is_taken(tmp_path: Path) -> None:
    assert (
        await store(Sender([b"v" * 10_000]), tmp_path / "upload", max_bytes=10_000)
    ).size == 10_000


async def test_an_endless_epilogue_is_stopped(tmp_path: Path) -> None:
    head = b'--b\r\nContent-Disposition: form-data; name="f"; filename="f"\r\n\r\nv\r\n--b--\r\n'
    sender = Sender([head, *[b"junk" * 1000] * 100])
    asked = request(sender, content_type="multipart/form-data; boundary=b")
    with pytest.raises(TooLarge):
        await receive(asked, tmp_path / "upload", 1000, lambda _: None)


def test_a_content_length_over_the_limit_is_refused_at_once() -> None:
    sender = Sender([b"v"])
    with pytest.raises(TooLarge):
        announced_size(request(sender, content_length="1000000"), 100)
    assert sender.taken == 0
    assert announced_size(request(sender, content_length="100"), 100) == 100
    assert announced_size(request(sender), 100) == 0


@pytest.mark.parametrize(
    ("sender", "error"),
    [
        (Sender([]), BadVideo),
        (Sender([b"half"], end="cut"), BadRequest),
        (Sender([], end="cut"), BadRequest),
        (Sender([b"half"], end="silence"), TooSlow),
    ],
    ids=["empty", "cut off", "cut off at once", "silent"],
)
async def test_a_bad_body_is_reported(
    sender: Sender, error: type[MastreamError], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.web.videos.upload, "IDLE_SECONDS", 0.05)
    with pytest.raises(error):
        await store(sender, tmp_path / "upload")


async def test_a_full_disk_ends_it(tmp_path: Path) -> None:
    def full(_: int) -> None:
        raise NoCapacity("The disk is full.")

    with pytest.raises(NoCapacity):
        await receive(request(Sender([b"v"])), tmp_path / "upload", 100, full)
