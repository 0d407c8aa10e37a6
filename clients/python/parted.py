"""Upload a file in parts, by tus 1.0.0: a lost connection costs only the bytes in transit."""

from __future__ import annotations

import asyncio
import base64
import contextlib
import random
import time
from collections.abc import AsyncIterator, Callable, Mapping
from pathlib import Path
from typing import Any

import httpx

from clients.python.errors import BadFootage, ClientError, NotFound, NotOurs, TooSlow
from clients.python.foreign import checked_answer, json_of, web_errors
from clients.python.reconnecting import Backoff, may_pass

PART_BYTES = 2**24
"""Bytes of one request: proxies that collect a whole request lose no more than that."""

CHUNK_BYTES = 2**18
TAKE_BACK_SECONDS = 5.0
"""How long an interrupted client waits for the server to remove its video."""

BACKOFF = Backoff(first=0.5, longest=30.0, give_up=300.0)

OnBytes = Callable[[int], None]
"""Receives the number of bytes transferred since the last call."""

_VERSION = {"Tus-Resumable": "1.0.0"}
_PART = _VERSION | {"Content-Type": "application/offset+octet-stream"}
_PASSING_CODES = frozenset({"offset_mismatch", "taken_over"})
"""Codes of conflicts that end as soon as the offset is asked for again."""


class NotOffered(ClientError):
    """The server does not accept uploads in parts."""


class PartedUpload:
    """The upload of one file. Mutable state: the upload's path on the server, once it is created;
    how many bytes the server has, and how many were reported to ``on_bytes``.

    ``fields`` are those that POST /v1/videos takes in its query, such as ``artefacts``.
    """

    def __init__(
        self,
        http: httpx.AsyncClient,
        path: Path,
        size: int,
        key: str,
        on_bytes: OnBytes = lambda _: None,
        fields: Mapping[str, str] | None = None,
        backoff: Backoff = BACKOFF,
    ) -> None:
        self._http = http
        self._url = str(http.base_url)
        self._path = path
        self._size = size
        self._key = key
        self._on_bytes = on_bytes
        self._fields = {"filename": path.name} | dict(fields or {})
        self._backoff = backoff
        self._link: str | None = None
        self._offset = 0
        self._reported = 0

    async def run(self) -> Any:
        """Send the file and return the JSON of its video.

        After a transient error it continues, with growing pauses, until there was no progress for
        ``backoff.give_up`` seconds. If this is cancelled, the upload is removed from the server.
        Raises a ClientError, and NotOffered if the server does not accept uploads in parts.
        """
        try:
            return await self._until_sent()
        except asyncio.CancelledError:
            await self._take_back()
            raise

    async def _until_sent(self) -> Any:
        attempt, best, since = 0, 0, time.monotonic()
        while True:
            try:
                return await self._send()
            except ClientError as error:
                if self._offset > best:
                    attempt, best, since = 0, self._offset, time.monotonic()
                if not _may_pass(error) or time.monotonic() - since > self._backoff.give_up:
                    raise
            await asyncio.sleep(self._backoff.delay(attempt, random.random()))
            attempt += 1

    async def _send(self) -> Any:
        """Send all missing bytes, in parts, over connections that may break; return the video's
        JSON."""
        if self._link is None:
            self._link = await self._create()
        video = await self._ask()
        while video is None:
            video = await self._send_part()
        return json_of((await self._request("GET", video)).content)

    async def _create(self) -> str:
        headers = _VERSION | {
            "Upload-Length": str(self._size),
            "Upload-Metadata": _metadata(self._fields),
            "Idempotency-Key": self._key,
        }
        try:
            answer = await self._request("POST", "/v1/uploads", headers=headers)
        except NotFound as error:
            raise NotOffered("The server takes no uploads in parts.") from error
        return _header(answer, "Location")

    async def _ask(self) -> str | None:
        """Ask where to continue; return the video's path if the upload is complete."""
        assert self._link is not None, "the upload was not created"
        return self._learn(await self._request("HEAD", self._link, headers=_VERSION))

    async def _send_part(self) -> str | None:
        assert self._link is not None, "the upload was not created"
        length = min(PART_BYTES, self._size - self._offset)
        headers = {"Upload-Offset": str(self._offset), "Content-Length": str(length)}
        part = self._chunks(self._offset, length)
        answer = await self._request("PATCH", self._link, headers=_PART | headers, content=part)
        return self._learn(answer)

    def _learn(self, answer: httpx.Response) -> str | None:
        try:
            self._offset = int(_header(answer, "Upload-Offset"))
        except ValueError as error:
            raise NotOurs("The server's answer names no offset of the upload.") from error
        video: str | None = answer.headers.get("Video-Location")
        return video

    async def _chunks(self, first: int, length: int) -> AsyncIterator[bytes]:
        try:
            with self._path.open("rb") as file:
                file.seek(first)
                end = first + length
                while first < end:
                    chunk = await asyncio.to_thread(file.read, min(CHUNK_BYTES, end - first))
                    if not chunk:
                        raise BadFootage(f"{self._path} became shorter while it was sent.")
                    yield chunk
                    first += len(chunk)
                    self._report(first)
        except OSError as error:
            raise BadFootage(f"{self._path} cannot be read: {error.strerror}.") from error

    def _report(self, sent: int) -> None:
        """Report bytes that were sent for the first time; repeated bytes do not count."""
        if sent > self._reported:
            self._on_bytes(sent - self._reported)
            self._reported = sent

    async def _request(self, method: str, link: str, **how: object) -> httpx.Response:
        with web_errors(self._url):
            answer = await self._http.request(method, link, **how)  # type: ignore[arg-type]
        return checked_answer(answer, self._url)

    async def _take_back(self) -> None:
        """Remove the upload from the server, or the video that it has become."""
        if self._link is None:
            return
        with contextlib.suppress(ClientError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(TAKE_BACK_SECONDS):
                video = await self._ask()
                await self._request("DELETE", self._link, headers=_VERSION)
                if video is not None:
                    await self._request("DELETE", video)


def _may_pass(error: ClientError) -> bool:
    return may_pass(error) or isinstance(error, TooSlow) or error.code in _PASSING_CODES


def _metadata(fields: Mapping[str, str]) -> str:
    encoded = {name: base64.b64encode(text.encode()).decode() for name, text in fields.items()}
    return ",".join(f"{name} {text}" for name, text in encoded.items())


def _header(answer: httpx.Response, name: str) -> str:
    """Return a header of an answer. Raises NotOurs if it is missing."""
    found: str | None = answer.headers.get(name)
    if found is None:
        raise NotOurs(f"The server's answer has no {name}; check that it is a mastream server.")
    return found
