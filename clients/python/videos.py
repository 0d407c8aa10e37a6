"""Upload a video, follow its progress and download the results."""

from __future__ import annotations

import asyncio
import contextlib
import uuid
from collections.abc import AsyncGenerator, Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import httpx

from clients.python.addresses import web_address
from clients.python.errors import ClientError, NotOurs, Unreachable, VideoFailed
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
from clients.python.upload_file import chunks_of, output_fields, size_of

PARTS_ABOVE = 8 * 10**6
"""Bytes above which a file is sent in parts."""

POLL_SECONDS = 0.5
ENDED = frozenset({"succeeded", "failed", "cancelled"})
NO_ARTEFACT = frozenset({"self", "events", "source"})


@dataclass(frozen=True, slots=True)
class Video:
    """The state of an uploaded video. ``total`` (frames) and ``eta`` (s) are None if unknown."""

    id: str
    state: str
    done: int
    total: int | None
    fps: float | None
    eta: float | None
    links: Mapping[str, str]
    error: str

    @property
    def ended(self) -> bool:
        return self.state in ENDED

    @property
    def artefacts(self) -> dict[str, str]:
        """The URL path of each artefact by name."""
        return {name: link for name, link in self.links.items() if name not in NO_ARTEFACT}

    @classmethod
    def from_dict(cls, given: Mapping[str, Any]) -> Self:
        """Return the video that the server's JSON describes. Raises NotOurs if it does not."""
        try:
            progress = given.get("progress") or {}
            return cls(
                id=str(given["id"]),
                state=str(given["state"]),
                done=int(progress.get("frames_done") or 0),
                total=progress.get("frames_total"),
                fps=progress.get("fps"),
                eta=progress.get("eta_s"),
                links=dict(given.get("links") or {}),
                error=str((given.get("error") or {}).get("detail", "")),
            )
        except (AttributeError, KeyError, TypeError, ValueError) as error:
            raise NotOurs(f"The server's answer is not a video: {error!r}.") from error


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
        key: str | None = None,
        on_bytes: OnBytes | None = None,
    ) -> Video:
        """Upload a file and return its video. Raises a ClientError.

        A file above ``PARTS_ABOVE`` bytes is sent in parts: after a lost connection the upload
        continues. ``artefacts`` are the results to make, the usual ones if empty. ``classes`` are
        those to draw and to list, all if empty, and ``opacity``, 0 to 1, is the overlay's. ``key``
        makes the upload idempotent: the same key and bytes give the same video. If this is
        cancelled, the video is removed from the server.
        """
        fields = output_fields(artefacts, classes, opacity)
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
