"""The pictures of a pulled stream for browsers: a continuous preview, and its newest mask."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace

from server.errors import NotReady
from server.frame import Mask
from server.streams.pulled import PulledStream
from server.streams.renditions import PictureForm
from server.web.live.service import LiveService

BOUNDARY = "mastream-frame"
STALE_SECONDS = 5.0
"""After this many seconds without a new picture, a preview shows how old the last one is."""

FIRST_SECONDS = 10.0
"""How long a snapshot waits for the first mask."""


async def preview(
    live: LiveService, stream: PulledStream, form: PictureForm, client: str
) -> AsyncIterator[bytes]:
    """Yield each new picture as a part of a motion JPEG; pictures that arrive while one is sent are
    skipped. ``client`` occupies one of its places for viewers until the end."""
    mask: Mask | None = None
    with live.watching.hold(client):
        while (mask := await next_shown(stream, mask)) is not None:
            form = replace(form, note=note(stream.viewers.age(time.monotonic())))
            yield _part(await live.renditions(stream).picture(mask, form))


async def next_shown(stream: PulledStream, shown: Mask | None) -> Mask | None:
    """Return the next mask, or the same one again if no other arrives for STALE_SECONDS; None if
    the stream has ended."""
    seq = None if shown is None else shown.frame.seq
    while True:
        try:
            async with asyncio.timeout(STALE_SECONDS):
                return await stream.viewers.next_after(seq)
        except TimeoutError:
            if shown is not None:
                return shown


def note(age: float | None) -> str:
    """Return the text to write on a picture of this age in seconds; empty if it is recent."""
    return "" if age is None or age < STALE_SECONDS else f"{age:.0f} s old"


async def first_mask(stream: PulledStream) -> Mask:
    """Return the newest mask; wait a moment for the first. Raises NotReady if none arrives."""
    with suppress(TimeoutError):
        async with asyncio.timeout(FIRST_SECONDS):
            if mask := await stream.viewers.next_after(None):
                return mask
    state = stream.supervised
    raise NotReady(f"The stream is {state.state}: {state.detail or 'try again in a moment.'}")


def _part(picture: bytes) -> bytes:
    head = f"--{BOUNDARY}\r\nContent-Type: image/jpeg\r\nContent-Length: {len(picture)}\r\n\r\n"
    return head.encode() + picture + b"\r\n"
