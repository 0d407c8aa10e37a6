"""The response that carries an artefact of a running video."""

from __future__ import annotations

from collections.abc import AsyncGenerator
from contextlib import aclosing

from fastapi import Response
from fastapi.responses import StreamingResponse

from server.videos.jobs import Jobs
from server.videos.unfinished import POSTER, first_poster, growing_overlay

_HEADERS = {
    "Cache-Control": "no-store",
    "Accept-Ranges": "none",
    "X-Content-Type-Options": "nosniff",
}


async def answer_unfinished(
    method: str, jobs: Jobs, video: str, name: str, disposition: str
) -> Response | None:
    """Return the response to a GET or HEAD of a poster or an overlay so far.

    Wait for the first bytes of an overlay; None if the video ends before there are any.
    """
    headers = _HEADERS | {"Content-Disposition": disposition}
    if name == POSTER:
        jpeg = await first_poster(jobs, video)
        return None if jpeg is None else Response(jpeg, headers=headers, media_type="image/jpeg")
    if method == "HEAD":
        return StreamingResponse(iter(()), headers=headers, media_type="video/mp4")
    growing = growing_overlay(jobs, video)
    first = await anext(growing, None)
    if first is None:
        return None
    return StreamingResponse(_from(first, growing), headers=headers, media_type="video/mp4")


async def _from(first: bytes, rest: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    async with aclosing(rest):
        yield first
        async for data in rest:
            yield data
