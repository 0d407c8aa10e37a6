"""Appending a part of an upload to its file."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from pathlib import Path
from typing import BinaryIO

from starlette.requests import Request

from server.errors import TooLarge
from server.videos.upload_turns import Turn
from server.web.videos.upload import CHUNK_BYTES, CheckRoom, in_disk_thread, request_chunks, sync


async def append(
    request: Request, path: Path, missing: int, check_room: CheckRoom, turn: Turn
) -> None:
    """Append a request's body to ``path``, which lacks ``missing`` bytes.

    Bytes received before an error are kept, and durable. Raises TooLarge if the body has more than
    the missing bytes, BadRequest if it is cut off, TooSlow if no bytes arrive for a while,
    NoCapacity if the disk is nearly full, Fault if writing fails, and the reason of the turn's end
    if that ends.
    """
    announced = int(request.headers.get("content-length", "0"))
    _check_missing(announced, missing)
    buffer = bytearray()
    with path.open("ab", buffering=0) as file:
        try:
            async with aclosing(_while_its_turn(request_chunks(request), turn)) as chunks:
                async for chunk in chunks:
                    missing -= len(chunk)
                    _check_missing(0, missing)
                    buffer += chunk
                    if len(buffer) >= CHUNK_BYTES:
                        full, buffer = buffer, bytearray()
                        await in_disk_thread(check_room, len(full))
                        await in_disk_thread(_write, file, full)
        finally:
            await in_disk_thread(_write, file, buffer)
            await in_disk_thread(sync, file)


async def _while_its_turn(chunks: AsyncIterator[bytes], turn: Turn) -> AsyncGenerator[bytes]:
    stopped = asyncio.ensure_future(turn.stopped())
    following: asyncio.Future[bytes] | None = None
    try:
        while True:
            following = asyncio.ensure_future(anext(chunks))
            await asyncio.wait({following, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if stopped.done():
                raise stopped.result()
            yield following.result()
    except StopAsyncIteration:
        return
    finally:
        for one in (stopped, following):
            if one is not None and not one.cancel() and not one.cancelled():
                one.exception()


def _check_missing(size: int, missing: int) -> None:
    if size > missing:
        raise TooLarge("The part has more than the upload's missing bytes: send only the rest.")


def _write(file: BinaryIO, data: bytearray) -> None:
    """Write all of ``data``: a file without a buffer may take less at once."""
    rest = memoryview(data)
    while rest:
        rest = rest[file.write(rest) :]
