"""The response that carries an artefact or an uploaded file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path

from fastapi import Request, Response
from fastapi.responses import FileResponse
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import Headers
from starlette.exceptions import HTTPException
from starlette.responses import RangeNotSatisfiable
from starlette.staticfiles import NotModifiedResponse
from starlette.types import Receive, Scope, Send

from server.web.videos.preconditions import Verdict, judge

Part = tuple[int, int]
"""The first byte, and the one after the last."""

_SPEC = re.compile(r"(\d+)-(\d*)|-(\d+)", re.ASCII)
_MAX_DIGITS = 18


class ArtefactFile(FileResponse):
    """A file, or the parts of it that a GET with Range requests."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] == "HEAD":
            # Range is defined for GET only (RFC 9110, section 14.2).
            kept = [line for line in scope["headers"] if line[0] != b"range"]
            scope = dict(scope) | {"headers": kept}
        await super().__call__(scope, receive, send)

    @classmethod
    def _parse_range_header(cls, http_range: str, file_size: int) -> list[Part]:
        return wanted_parts(http_range, file_size, cls.max_ranges)


async def answer_file(request: Request, path: Path, media_type: str, disposition: str) -> Response:
    """Return the response to a GET or HEAD of a file: the file, a part of it, or 304.

    Raises HTTPException (412) if the request's conditions do not hold.
    """
    answer = ArtefactFile(
        path,
        media_type=media_type,
        stat_result=await run_in_threadpool(path.stat),
        headers=file_headers(disposition),
    )
    return unless_conditions_fail(request.headers, answer.headers) or answer


def file_headers(disposition: str) -> dict[str, str]:
    """Return the headers of every file."""
    return {
        "Content-Disposition": disposition,
        "Cache-Control": "private, no-cache",
        "X-Content-Type-Options": "nosniff",
    }


def unless_conditions_fail(conditions: Headers, file: Mapping[str, str]) -> Response | None:
    """Return the response of a file that has not changed; None if the file is to be sent.

    ``file`` are its headers. Raises HTTPException (412) if the request's conditions do not hold.
    """
    headers = Headers(file)
    verdict = judge(conditions, headers["etag"], headers["last-modified"])
    if verdict is Verdict.FAILED:
        raise HTTPException(412, "The file is not the version that the request requires")
    return NotModifiedResponse(headers) if verdict is Verdict.NOT_MODIFIED else None


def wanted_parts(header: str, size: int, max_parts: int) -> list[Part]:
    """Return :func:`requested_parts`. Raises HTTPException (416) if there is none in the file."""
    try:
        return requested_parts(header, size, max_parts)
    except RangeNotSatisfiable as error:
        # Starlette would answer with plain text, not with a problem like every other error.
        words = f"The file has {size} bytes and no requested range begins within them"
        raise HTTPException(416, words, {"Content-Range": f"bytes */{size}"}) from error


def requested_parts(header: str, size: int, max_parts: int) -> list[Part]:
    """Return the parts of a file of ``size`` bytes that a Range header requests, sorted and
    disjoint.

    Return none if the header is to be ignored: it is malformed, has other units, or more than
    ``max_parts`` ranges. Raises RangeNotSatisfiable if no range begins within the file.
    """
    unit, _, listed = header.partition("=")
    specs = [spec.strip() for spec in listed.split(",") if spec.strip()]
    if unit.strip().lower() != "bytes" or not 0 < len(specs) <= max_parts:
        return []
    parts = []
    for spec in specs:
        part = _part(spec, size)
        if part is None:
            return []
        parts.append(part)
    within = [(first, end) for first, end in parts if first < end]
    if not within:
        raise RangeNotSatisfiable(size)
    return _merged(within)


def _part(spec: str, size: int) -> Part | None:
    """Return one range, cut off at the end of the file; None if it is malformed."""
    found = _SPEC.fullmatch(spec)
    if found is None:
        return None
    first, last, suffix = found.groups()
    if suffix is not None:
        return max(0, size - _number(suffix)), size
    if not last:
        return _number(first), size
    if _number(last) < _number(first):
        return None
    return _number(first), min(_number(last) + 1, size)


def _number(digits: str) -> int:
    """Read a number of any length; those beyond the size of any file give the same result."""
    significant = digits.lstrip("0") or "0"
    return int(significant) if len(significant) <= _MAX_DIGITS else 10**_MAX_DIGITS


def _merged(parts: list[Part]) -> list[Part]:
    """Sort parts and merge those that overlap or touch."""
    merged: list[Part] = []
    for first, end in sorted(parts):
        if merged and first <= merged[-1][1]:
            merged[-1] = (merged[-1][0], max(merged[-1][1], end))
        else:
            merged.append((first, end))
    return merged
