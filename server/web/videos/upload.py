"""Receiving an upload to disk; at most a few chunks of it are in memory."""

from __future__ import annotations

import asyncio
import hashlib
import os
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, ParamSpec

from starlette.concurrency import run_in_threadpool
from starlette.requests import ClientDisconnect, Request

from server.errors import BadRequest, BadVideo, TooLarge, TooSlow, unwritable
from server.web.videos.multipart import FORM_BYTES, Body, body_of

P = ParamSpec("P")

CHUNK_BYTES = 2**20
IDLE_SECONDS = 60.0

CheckRoom = Callable[[int], None]
"""Raises NoCapacity if the disk has no room for this many more bytes."""


@dataclass(frozen=True, slots=True)
class Upload:
    """A file received: its size in bytes, its SHA-256, its name and the form's other fields."""

    size: int
    digest: str
    name: str | None
    fields: Mapping[str, str]


def announced_size(request: Request, max_bytes: int) -> int:
    """Return the Content-Length, 0 if there is none. Raises TooLarge if the file is too large for
    certain."""
    size = int(request.headers.get("content-length", "0"))
    check_size(size - FORM_BYTES, max_bytes)
    return size


async def receive(request: Request, path: Path, max_bytes: int, check_room: CheckRoom) -> Upload:
    """Write the file that a request carries, raw or as multipart, to ``path``.

    Raises TooLarge as soon as there are more than ``max_bytes``, BadVideo if there are none,
    BadRequest if the body is malformed or cut off, TooSlow if no bytes arrive for a while,
    NoCapacity if the disk is nearly full and Fault if writing fails. The caller must remove a
    partly written file.
    """
    body = body_of(request.headers.get("content-type"))
    with path.open("xb") as file:
        size, digest = await _spool(_file_chunks(request, body, max_bytes), file, check_room)
    body.finish()
    if not size:
        raise BadVideo("The upload is empty: send the bytes of a video.")
    return Upload(size, digest, body.name, body.fields)


async def _spool(
    chunks: AsyncIterator[bytes | bytearray], file: BinaryIO, check_room: CheckRoom
) -> tuple[int, str]:
    """Write chunks, gathered to CHUNK_BYTES, off the event loop; return their size and SHA-256."""
    digest, size, buffer = hashlib.sha256(), 0, bytearray()

    def write(data: bytearray) -> None:
        check_room(len(data))
        digest.update(data)
        file.write(data)

    async for chunk in chunks:
        size += len(chunk)
        buffer += chunk
        if len(buffer) >= CHUNK_BYTES:
            await in_disk_thread(write, buffer)
            buffer = bytearray()
    await in_disk_thread(write, buffer)
    await in_disk_thread(sync, file)
    return size, digest.hexdigest()


async def _file_chunks(
    request: Request, body: Body, max_bytes: int
) -> AsyncIterator[bytes | bytearray]:
    """Yield the file's bytes as they arrive, and check their number."""
    total = received = 0
    async for chunk in request_chunks(request):
        received += len(chunk)
        found = body.feed(chunk)
        total += len(found)
        check_size(max(total, received - FORM_BYTES), max_bytes)
        yield found


async def request_chunks(request: Request) -> AsyncIterator[bytes]:
    """Yield a request's body as it arrives. Raises BadRequest if it is cut off, and TooSlow if no
    bytes arrive for ``IDLE_SECONDS``."""
    stream = request.stream()
    while True:
        try:
            # Not wait_for: Python 3.11's forgets a cancellation that comes with a chunk.
            async with asyncio.timeout(IDLE_SECONDS):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError as error:
            raise TooSlow("The upload stalled for a minute: send it again.") from error
        except ClientDisconnect as error:
            raise BadRequest("The upload was cut off: send it again.") from error
        yield chunk


def check_size(size: int, max_bytes: int) -> None:
    """Raise TooLarge if a file of ``size`` bytes is too large."""
    if size > max_bytes:
        raise TooLarge(f"The upload is over the limit of {max_bytes} bytes: send a shorter video.")


def sync(file: BinaryIO) -> None:
    """Make the written bytes of a file durable."""
    file.flush()
    os.fsync(file.fileno())


async def in_disk_thread(act: Callable[P, None], *args: P.args, **kwargs: P.kwargs) -> None:
    """Call ``act`` in a thread. Even if cancelled, wait for its end, since it uses the file until
    then. Raises Fault if it raises an OSError."""
    acting = asyncio.create_task(run_in_threadpool(act, *args, **kwargs))
    try:
        await asyncio.wait({acting})
    finally:
        await asyncio.wait({acting})
        error = acting.exception()
    if isinstance(error, OSError):
        raise unwritable("The upload", error.errno, error.strerror) from error
    if error is not None:
        raise error
