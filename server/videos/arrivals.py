"""New videos: from their first byte to their place in the queue."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from server.database.video_record import VideoRecord, new_id
from server.errors import Conflict, Fault, NoCapacity
from server.frame import VideoInfo
from server.logs import log_event
from server.settings import VideoSettings
from server.sinks.coding import check_encodable
from server.sources.probing import VideoLimits
from server.sources.sandbox.probe_process import Prober
from server.threads import ThreadRunner
from server.videos.files import VideoFiles
from server.videos.progress import Video
from server.videos.request import VideoRequest
from server.videos.runner import JobRunner

_log = logging.getLogger(__name__)


class Arrivals:
    """Checks new videos and hands them to the queue.

    ``model`` returns the name of the model that segments, ``seen`` a record as users see it.
    Mutable state: ``_left``, the videos whose files may have to be removed.
    """

    def __init__(
        self,
        files: VideoFiles,
        disk: ThreadRunner,
        runner: JobRunner,
        settings: VideoSettings,
        prober: Prober,
        model: Callable[[], str],
        seen: Callable[[VideoRecord], Video],
        clock: Callable[[], float],
    ) -> None:
        self._files = files
        self._disk = disk
        self._runner = runner
        self._settings = settings
        self._model = model
        self._seen = seen
        self._clock = clock
        self._probes = ThreadRunner("probe", threads=2)
        self._probe = prober
        self._left: list[str] = []

    async def close(self) -> None:
        """End the threads that probe; their process must have ended before."""
        await self._probes.close()

    async def check_capacity(self, size: int, key: str | None, owner: str = "") -> None:
        """Raise TooMany or NoCapacity if an upload of ``size`` bytes has to be refused before it is
        read."""
        if self._runner.draining or not self._runner.started:
            raise NoCapacity("The server is starting or shutting down: try again in a minute.")
        await self._disk(self._files.check_capacity, size, key, owner)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[tuple[str, Path]]:
        """Yield an id and the path for a new video's bytes; remove the file afterwards unless
        :meth:`add` was called."""
        video = new_id(self._clock())
        path = await self._disk(self._files.place, video)
        try:
            yield video, path
        finally:
            await asyncio.shield(self._discard(video))

    def check_room(self, size: int) -> None:
        """Raise NoCapacity if ``size`` more bytes would leave the disk nearly full."""
        self._files.check_room(size)

    async def probe(self, path: Path, artefacts: Collection[str] = ()) -> VideoInfo:
        """Return the description of the video in an uploaded file.

        Raises UnsupportedMedia, TooLarge, or BadVideo (also if its pictures are too large or too
        small for one of the artefacts).
        """
        limits = VideoLimits(
            max_bytes=self._settings.max_bytes,
            max_seconds=self._settings.max_seconds,
            max_frames=self._settings.max_frames,
            max_pixels=self._settings.max_pixels,
        )
        info = await self._probes(self._probe, path, limits)
        await self._probes(check_encodable, info, artefacts)
        return info

    async def accept(
        self, video: str, path: Path, request: VideoRequest, size: int, digest: str
    ) -> Video:
        """Queue the video in ``path``, unless it was queued before with the request's key.

        ``size`` is the file's in bytes, ``digest`` its SHA-256. Return the queued video. Raises as
        :meth:`known`, :meth:`probe` and :meth:`add`.
        """
        fingerprint = request.fingerprint(digest)
        accepted = await self.known(request.key, fingerprint)
        if accepted is not None:
            return accepted
        record = VideoRecord(
            id=video,
            name=request.name,
            model=self._model(),
            size=size,
            info=await self.probe(path, request.artefacts),
            artefacts=request.artefacts,
            style=request.style,
            fingerprint=fingerprint,
            key=request.key,
            owner=request.owner,
        )
        return await self.add(record, request.callback_url)

    async def add(self, record: VideoRecord, callback_url: str | None = None) -> Video:
        """Queue a video whose bytes are in its file, as created now; ``callback_url`` is called
        when it has ended.

        Raises NoCapacity if the queue is full, and Conflict if its key is taken.
        """
        record = replace(record, created=self._clock())
        try:
            await self._disk(self._files.add, record, callback_url)
        finally:
            self._runner.added()  # after an error too: a failing store may already have added it
        log_event(_log, "video queued", video=record.id, bytes=record.size, owner=record.owner)
        return self._seen(record)

    async def known(self, key: str | None, fingerprint: str) -> Video | None:
        """Return the video uploaded before with this idempotency key, if any.

        Raises Conflict if the key was used for a different request.
        """
        record = None if key is None else await self._disk(self._files.store.by_key, key)
        if record is not None and record.fingerprint != fingerprint:
            raise Conflict("This Idempotency-Key was used for another video: choose a new one.")
        return None if record is None else self._seen(record)

    async def remove_left(self) -> None:
        """Remove the files of videos that were not added because the store did not answer."""
        left, self._left = self._left, []
        for video in left:
            await self._discard(video)

    async def _discard(self, video: str) -> None:
        """Remove a new video's file unless it was added; later, if the store does not answer."""
        try:
            await self._disk(self._files.discard_unless_added, video)
        except Fault:
            self._left.append(video)
