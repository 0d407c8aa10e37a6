"""The results of a video while it is segmented: the overlay so far, and a poster."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator
from contextlib import aclosing, suppress
from itertools import count

from server.database.video_record import VideoState
from server.videos.growing import GrowingFile, PartOf
from server.videos.jobs import Jobs

OVERLAY, POSTER = "overlay.mp4", "poster.jpg"
UNFINISHED = (OVERLAY, POSTER)
"""The artefacts that can be read while a video runs, once its first frame is done."""


async def growing_overlay(jobs: Jobs, video: str) -> AsyncGenerator[bytes]:
    """Yield the bytes of a video's overlay as they are written, from the first on, until it ends;
    nothing if it has already ended.

    They are a fragmented MP4 file. If the video is cancelled, removed or fails, or the server
    drains, they end there. The parts stay until their last viewer has finished, however slow it is.
    """
    growing, seen = GrowingFile(jobs.outputs.parts(video, OVERLAY)), False
    try:
        async with jobs.outputs.viewing(video), aclosing(jobs.watch(video, None)) as changes:
            async for now in changes:
                state = now.record.state
                if state is VideoState.CANCELLED or (state.ended and not seen):
                    return
                seen = True
                while data := await asyncio.to_thread(growing.read):
                    yield data
    finally:
        growing.close()


async def first_poster(jobs: Jobs, video: str) -> bytes | None:
    """Return the poster of the first piece that has one, as JPEG; None if no piece has one."""
    return await asyncio.to_thread(_first, jobs.outputs.parts(video, POSTER))


def _first(part_of: PartOf) -> bytes | None:
    for number in count():
        part = part_of(number)
        if part is None:
            return None
        for path in (part.partial, part.path):
            with suppress(FileNotFoundError):
                return path.read_bytes()
    raise AssertionError("unreachable")
