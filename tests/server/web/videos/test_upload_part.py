"""Writing parts of uploads to a file."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import BinaryIO

import pytest
from starlette.requests import Request
from starlette.types import Message

from server.errors import BadRequest, DiskFull, NoCapacity, TakenOver, TooLarge
from server.videos.upload_turns import Turn
from server.web.videos import upload_part
from server.web.videos.upload import CHUNK_BYTES, CheckRoom
from server.web.videos.upload_part import append

pytestmark = pytest.mark.anyio


class Sender:
    """An ASGI ``receive`` that returns chunks, then ends, is cut off or stays silent."""

    def __init__(self, chunks: Iterable[bytes], end: str = "end") -> None:
        self._chunks = iter(chunks)
        self._end = end
        self.silent = asyncio.Event()

    async def __call__(self) -> Message:
        for chunk in self._chunks:
            return {"type": "http.request", "body": chunk, "more_body": True}
        if self._end == "silence":
            self.silent.set()
            await asyncio.Event().wait()
        if self._end == "cut":
            return {"type": "http.disconnect"}
        return {"type": "http.request", "body": b"", "more_body": False}


def free(_: int) -> None:
    """A disk with room for all."""


async def add(
    sender: Sender,
    path: Path,
    missing: int = 10**9,
    turn: Turn | None = None,
    check_room: CheckRoom = free,
) -> None:
    request = Request({"type": "http", "method": "PATCH", "headers": []}, sender)
    await append(request, path, missing, check_room, turn or Turn())


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "upload"
    path.write_bytes(b"before")
    return path


async def test_a_part_is_appended(path: Path) -> None:
    content = bytes(range(256)) * 20_000
    await add(Sender(content[i : i + 65_536] for i in range(0, len(content), 65_536)), path)
    assert path.read_bytes() == b"before" + content


async def test_what_came_before_a_cut_is_kept(path: Path) -> None:
    with pytest.raises(BadRequest, match="cut off"):
        await add(Sender([b"a" * CHUNK_BYTES, b"bc"], "cut"), path)
    assert path.read_bytes() == b"before" + b"a" * CHUNK_BYTES + b"bc"


async def test_bytes_beyond_the_file_are_not_kept(path: Path) -> None:
    with pytest.raises(TooLarge):
        await add(Sender([b"abc", b"de"]), path, missing=4)
    assert path.read_bytes() == b"beforeabc"


async def test_a_request_ends_when_a_newer_one_wants_its_turn(path: Path) -> None:
    turn, sender = Turn(), Sender([b"abc"], "silence")
    adding = asyncio.create_task(add(sender, path, turn=turn))
    await sender.silent.wait()
    turn.stop(TakenOver("A newer request continues this upload."))
    with pytest.raises(TakenOver):
        await adding
    assert path.read_bytes() == b"beforeabc"


async def test_a_request_that_is_cancelled_keeps_what_came(path: Path) -> None:
    sender = Sender([b"abc"], "silence")
    adding = asyncio.create_task(add(sender, path))
    await sender.silent.wait()
    adding.cancel()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert path.read_bytes() == b"beforeabc"


async def test_a_request_that_is_cancelled_during_a_write_ends_after_it(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    writing, may_write = threading.Event(), threading.Event()
    real = upload_part._write

    def slow(file: BinaryIO, data: bytearray) -> None:
        if data:
            writing.set()
            may_write.wait(20)
        real(file, data)

    monkeypatch.setattr(upload_part, "_write", slow)
    adding = asyncio.create_task(add(Sender([b"a" * CHUNK_BYTES], "silence"), path))
    await asyncio.to_thread(writing.wait, 20)
    adding.cancel()
    ended, _ = await asyncio.wait({adding}, timeout=0.2)
    may_write.set()
    with pytest.raises(asyncio.CancelledError):
        await adding
    assert not ended and path.read_bytes() == b"before" + b"a" * CHUNK_BYTES


async def test_the_disk_is_asked_before_each_write(path: Path) -> None:
    def full(size: int) -> None:
        raise NoCapacity(f"There is no room for {size} bytes.")

    with pytest.raises(NoCapacity, match=f"for {CHUNK_BYTES} bytes"):
        await add(Sender([bytes(CHUNK_BYTES)]), path, check_room=full)
    assert path.read_bytes() == b"before"


async def test_a_disk_that_becomes_full_is_no_fault(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(upload_part, "_write", fail)
    with pytest.raises(DiskFull, match="disk is full"):
        await add(Sender([b"abc"]), path)
