"""The response that carries a file from the storage of videos."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from datetime import UTC
from email.utils import format_datetime
from pathlib import Path

from starlette.concurrency import run_in_threadpool
from starlette.requests import Request
from starlette.responses import Response, StreamingResponse

from server.videos.storage import StoredFile
from server.web.videos.artefact_file import (
    ArtefactFile,
    Part,
    answer_file,
    file_headers,
    unless_conditions_fail,
    wanted_parts,
)

BLOCK_BYTES = 2**22
"""Bytes per read; each read is a request to the storage."""


async def answer_kept(
    request: Request, file: Path | StoredFile, media_type: str, disposition: str
) -> Response:
    """Return the response to a GET or HEAD of a file on the disk or in the storage."""
    if isinstance(file, Path):
        return await answer_file(request, file, media_type, disposition)
    return await answer_stored(request, file, media_type, disposition)


async def answer_stored(
    request: Request, file: StoredFile, media_type: str, disposition: str
) -> Response:
    """Return the response to a GET or HEAD of a file in the storage: the file, a part of it (the
    whole file if several are requested), or 304.

    Raises HTTPException: 412 if the request's conditions do not hold, 416 if no byte is requested.
    """
    headers = file_headers(disposition) | _validators(file) | {"Accept-Ranges": "bytes"}
    unchanged = unless_conditions_fail(request.headers, headers)
    if unchanged is not None:
        return unchanged
    part = _part(request, file, headers)
    first, end = part or (0, file.nbytes)
    headers["Content-Length"] = str(end - first)
    if part is not None:
        headers["Content-Range"] = f"bytes {first}-{end - 1}/{file.nbytes}"
    if request.method == "HEAD":
        return Response(headers=headers, media_type=media_type)
    status = 200 if part is None else 206
    return StreamingResponse(_blocks(file, first, end), status, headers, media_type)


def _validators(file: StoredFile) -> dict[str, str]:
    version = f"{file.path} {file.nbytes} {file.modified.timestamp()}"
    return {
        "ETag": f'"{hashlib.sha256(version.encode()).hexdigest()[:32]}"',
        "Last-Modified": format_datetime(file.modified.astimezone(UTC), usegmt=True),
    }


def _part(request: Request, file: StoredFile, headers: dict[str, str]) -> Part | None:
    """Return the part that Range requests; None for the whole file."""
    wanted, unless = request.headers.get("range"), request.headers.get("if-range")
    is_current = unless is None or unless in (headers["ETag"], headers["Last-Modified"])
    if request.method == "HEAD" or wanted is None or not is_current:
        return None
    parts = wanted_parts(wanted, file.nbytes, ArtefactFile.max_ranges)
    return parts[0] if len(parts) == 1 else None


async def _blocks(file: StoredFile, first: int, end: int) -> AsyncIterator[bytes]:
    for begin in range(first, end, BLOCK_BYTES):
        block_end = min(begin + BLOCK_BYTES, end)
        yield await run_in_threadpool(file.read, begin, block_end)
