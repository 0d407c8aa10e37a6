"""Upload a video, follow its progress and download the results."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from pathlib import Path
from typing import Self

import httpx

from clients.python.addresses import web_address
from clients.python.errors import ClientError, Unreachable, VideoFailed
from clients.python.foreign import checked_answer, json_of, web_errors
from clients.python.keys import with_key
from clients.python.outputs import output_errors, whole_file
from clients.python.parted import (
    CHUNK_BYTES,
    TAKE_BACK_SECONDS,
    NotOffered,
    OnBytes,
    PartedUpload,
)
from clients.python.upload_file import chunks_of, size_of, upload_fields
from clients.python.video import Video, page_of

PARTS_ABOVE = 8 * 10**6
"""Bytes above which a file is sent in parts."""

POLL_SECONDS = 0.5


class Videos:
    """The videos of one server. Use it as ``async with Videos(url) as videos``.

    ``transport`` replaces the network in tests.
    """

    def __init__(
        self,
        url: str,
        headers: Mapping[str, str] | None = None,
        transport: httpx.AsyncBaseTransport | None = None,
    ) -> None:
        self._url = web_address(url)
        self._http = httpx.AsyncClient(
            base_url=self._url,
            headers=with_key(headers),
            timeout=httpx.Timeout(60.0, connect=10.0),
            transport=transport,
        )

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._http.aclose()

    async def upload(
        self,
        path: Path,
        *,
        artefacts: Iterable[str] = (),
        classes: Iterable[str] = (),
        opacity: float | None = None,
        callback_url: str | None = None,
        key: str | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Video:
        """Upload a file and return its video. Raises a ClientError.

        A file above ``PARTS_ABOVE`` bytes is sent in parts: after a lost connection the upload
        continues. ``artefacts`` are the results to make, the usual ones if empty. ``classes`` are
        those to draw and to list, all if empty, and ``opacity``, 0 to 1, is the overlay's.
        ``callback_url`` is an address that the server calls when the video has ended, if its
        settings allow that. ``key`` makes the upload idempotent: the same key and bytes give the
        same video. If this is cancelled, the video is removed from the server.
        """
        fields = upload_fields(artefacts, classes, opacity, callback_url)
        size, key, on_bytes = size_of(path), key or uuid.uuid4().hex, on_bytes or _ignore
        if size > PARTS_ABOVE:
            parted = PartedUpload(self._http, path, size, key, on_bytes, fields)
            with contextlib.suppress(NotOffered):
                return Video.from_dict(await parted.run())
        return await self._upload_whole(path, size, key, on_bytes, fields)

    async def _upload_whole(
        self, path: Path, size: int, key: str, on_bytes: OnBytes, fields: Mapping[str, str]
    ) -> Video:
        sent = 0

        def count(more: int) -> None:
            nonlocal sent
            sent += more
            on_bytes(more)

        query = {"name": path.name, **fields}
        posting = asyncio.create_task(self._post(path, query, size, key, count))
        try:
            return await asyncio.shield(posting)
        except asyncio.CancelledError:
            # It is unknown whether the last piece has arrived.
            await self._take_back(posting, all_sent=sent + CHUNK_BYTES >= size)
            raise

    async def _post(
        self, path: Path, query: Mapping[str, str], size: int, key: str, on_bytes: OnBytes
    ) -> Video:
        headers = {
            "Content-Type": "application/octet-stream",
            "Content-Length": str(size),
            "Idempotency-Key": key,
        }
        with web_errors(self._url):
            answer = await self._http.post(
                "/v1/videos", params=query, headers=headers, content=chunks_of(path, on_bytes)
            )
        return self._video(answer)

    async def _take_back(self, posting: asyncio.Task[Video], all_sent: bool) -> None:
        """Abort an upload; if it may be complete, remove the video that the server made of it."""
        with contextlib.suppress(ClientError, TimeoutError, asyncio.CancelledError):
            async with asyncio.timeout(TAKE_BACK_SECONDS if all_sent else 0):
                await self.remove((await posting).id)

    async def status(self, video: str) -> Video:
        """Return the current state of the video with this id. Raises a ClientError."""
        with web_errors(self._url):
            return self._video(await self._http.get(f"/v1/videos/{video}"))

    async def all(self) -> AsyncGenerator[Video]:
        """Yield the videos of the server that this key may see, the newest first. Raises a
        ClientError."""
        cursor: str | None = ""
        while cursor is not None:
            query = {"cursor": cursor} if cursor else {}
            with web_errors(self._url):
                answer = self._checked(await self._http.get("/v1/videos", params=query))
            videos, cursor = page_of(json_of(answer.content))
            for video in videos:
                yield video

    async def remove(self, video: str) -> None:
        """Cancel a video, or remove one that has ended, with its files. Raises a ClientError."""
        with web_errors(self._url):
            self._checked(await self._http.delete(f"/v1/videos/{video}"))

    async def follow(self, video: Video) -> AsyncGenerator[Video]:
        """Yield the video after each change until it has ended, using events or else polling."""
        last = video
        with contextlib.suppress(Unreachable):
            async with contextlib.aclosing(self._events(video)) as events:
                async for last in events:
                    yield last
        while not last.ended:
            await asyncio.sleep(POLL_SECONDS)
            last = await self.status(video.id)
            yield last

    async def finished(self, video: Video, on_change: Callable[[Video], None]) -> Video:
        """Return the video once it has succeeded. Raises VideoFailed if it ends otherwise."""
        last = video
        async with contextlib.aclosing(self.follow(video)) as changes:
            async for last in changes:
                on_change(last)
        if last.state != "succeeded":
            raise VideoFailed(last.error or f"The video was {last.state}.")
        return last

    async def download(self, link: str, target: Path, on_bytes: OnBytes | None = None) -> None:
        """Download an artefact to ``target`` atomically. Raises a ClientError."""
        with web_errors(self._url), output_errors(target), whole_file(target) as part:
            async with self._http.stream("GET", link) as answer:
                if answer.is_error:
                    await answer.aread()
                with part.open("wb") as file:
                    async for piece in self._checked(answer).aiter_bytes(CHUNK_BYTES):
                        await asyncio.to_thread(file.write, piece)
                        if on_bytes is not None:
                            on_bytes(len(piece))

    def _video(self, answer: httpx.Response) -> Video:
        return Video.from_dict(json_of(self._checked(answer).content))

    def _checked(self, answer: httpx.Response) -> httpx.Response:
        return checked_answer(answer, self._url)

    async def _events(self, video: Video) -> AsyncGenerator[Video]:
        """Yield the video from server-sent events; nothing if the server offers none."""
        if "events" not in video.links:
            return
        with web_errors(self._url):
            async with self._http.stream("GET", video.links["events"]) as answer:
                if answer.headers.get("content-type", "").startswith("text/event-stream"):
                    async for line in answer.aiter_lines():
                        if line.startswith("data:"):
                            yield Video.from_dict(json_of(line.removeprefix("data:")))


def _ignore(_: int) -> None:
    pass
