"""Uploaded videos: durable rows in, artefacts out, one worker shared with all."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

from server.database.video_record import VideoRecord, VideoState, new_id
from server.database.videos import VideoRows
from server.errors import Conflict, NoCapacity, NotFound
from server.frame import VideoInfo
from server.settings import VideoSettings
from server.sinks.coding import check_encodable
from server.sources.hardware import Hardware
from server.sources.probe_process import Prober
from server.sources.probing import VideoLimits
from server.threads import ThreadRunner
from server.videos.files import VideoFiles
from server.videos.folder_lock import FolderLock
from server.videos.progress import Video, video_now
from server.videos.runner import JobRunner
from server.workers.serving import Serving

NEWS_SECONDS = 0.2


class Jobs:
    """Uploaded videos from their first byte to their removal; what /v1/videos does.

    Rows and files are touched at a disk, one thread, in order; the lanes segment. Mutable state
    of its own: the bell, which is replaced and rung whenever something changed.
    """

    def __init__(
        self,
        worker: Serving,
        store: VideoRows,
        folder: Path,
        settings: VideoSettings,
        *,
        hardware: Hardware | None = None,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self.settings = settings
        self._worker = worker
        self._clock = clock
        self._bell = asyncio.Event()
        self._lock = FolderLock(folder)
        self._files = VideoFiles(store, folder, settings)
        self._disk = ThreadRunner("videos")
        self._probes = ThreadRunner("probe", threads=2)
        self._probe = Prober(settings.probe_bytes, settings.probe_seconds)
        self._lanes = JobRunner(
            worker,
            self._files,
            self._disk,
            settings,
            hardware=hardware,
            clock=clock,
            changed=self._ring,
        )

    def __repr__(self) -> str:
        return f"<Jobs {self._lanes!r}>"

    @property
    def model(self) -> str:
        """The name of the model that segments."""
        return self._worker.spec.name

    async def start(self) -> None:
        """Queue again what a dead process left running, tidy the folder and begin. The worker
        has started. Raises Fault where a living process uses the folder."""
        await self._disk(self._lock.take)
        for _ in range(await self._disk(self._files.recover, self._clock())):
            self._lanes.added()
        self._lanes.start()

    async def drain(self) -> None:
        """Begin nothing more; what runs goes back into the queue for the next start. Twice is
        harmless."""
        await self._lanes.drain()

    async def stop(self) -> None:
        """Drain and free the threads; the store stays open for its owner to close."""
        await self.drain()
        await self._disk.close()
        await asyncio.to_thread(self._probe.close)
        await self._probes.close()
        self._lock.release()

    async def welcome(self, size: int, key: str | None) -> None:
        """Refuse an upload of ``size`` bytes before it is read. Raises NoCapacity."""
        if self._lanes.draining or not self._lanes.started:
            raise NoCapacity("The server is starting or shutting down: try again in a minute.")
        await self._disk(self._files.welcome, size, key)

    @asynccontextmanager
    async def place(self) -> AsyncIterator[tuple[str, Path]]:
        """An id and the file for a new video's bytes; gone when left without :meth:`add`."""
        video = new_id(self._clock())
        path = await self._disk(self._files.place, video)
        try:
            yield video, path
        finally:
            await asyncio.shield(self._disk(self._files.discard_unless_added, video))

    def check_room(self, size: int) -> None:
        """Raises NoCapacity where ``size`` more bytes would leave the disk nearly full."""
        self._files.check_room(size)

    async def probe(self, path: Path, artefacts: Collection[str] = ()) -> VideoInfo:
        """What an uploaded file says of itself.

        Raises UnsupportedMedia, TooLarge, or BadVideo, also if its pictures are too large or too
        small for one of the artefacts.
        """
        limits = VideoLimits(
            max_bytes=self.settings.max_bytes,
            max_seconds=self.settings.max_seconds,
            max_frames=self.settings.max_frames,
            max_pixels=self.settings.max_pixels,
        )
        info = await self._probes(self._probe, path, limits)
        await self._probes(check_encodable, info, artefacts)
        return info

    async def add(self, record: VideoRecord) -> Video:
        """Queue a video whose bytes lie in its place, as created now. Raises NoCapacity and,
        where its key is taken, Conflict."""
        record = replace(record, created=self._clock())
        await self._disk(self._files.add, record)
        self._lanes.added()
        return self._seen(record)

    async def known(self, key: str | None, fingerprint: str) -> Video | None:
        """The video uploaded before under this idempotency key, if any. Raises Conflict where
        something else was asked under it."""
        record = None if key is None else await self._disk(self._files.store.by_key, key)
        if record is not None and record.fingerprint != fingerprint:
            raise Conflict("This Idempotency-Key was used for another video: choose a new one.")
        return None if record is None else self._seen(record)

    async def find(self, video: str) -> Video:
        """Raises NotFound."""
        record = await self._disk(self._files.store.get, video)
        if record is None:
            raise NotFound("There is no such video: it was removed, or its id is wrong.")
        return self._seen(record)

    async def page(self, limit: int, before: str | None) -> list[Video]:
        """The newest videos, at most ``limit``, older than the id ``before``."""
        return [self._seen(r) for r in await self._disk(self._files.store.page, limit, before)]

    async def artefact(self, video: str, name: str) -> tuple[VideoRecord, Path]:
        """The file of a video's artefact. Raises NotFound, and Conflict while it is made."""
        record = (await self.find(video)).record
        if not record.state.ended:
            raise Conflict(f"The video is {record.state}: its results come when it has succeeded.")
        if record.state is not VideoState.SUCCEEDED or name not in record.artefacts:
            raise NotFound(f"The video has no {name}: it {record.state}, or it was not asked for.")
        return record, self._files.results(video) / name

    async def delete(self, video: str) -> None:
        """Cancel a video, or remove it where it has ended. Its files are gone when this returns;
        the row of a cancelled one stays until it is deleted again. Raises NotFound."""
        await self.find(video)
        if await self._disk(self._cancel, video):
            await self._lanes.halt(video)
            await self._disk(self._files.clear, video)
        else:
            await self._disk(self._files.remove, video)
        self._ring()

    async def watch(self, video: str, seen: str | None) -> AsyncIterator[Video]:
        """Yield the video now unless its version is ``seen``, and again after each change, at most
        once in ``NEWS_SECONDS``. Ends with the video or the server."""
        while not self._lanes.draining:
            bell = self._bell
            try:
                now = await self.find(video)
            except NotFound:
                return
            if now.version != seen:
                seen = now.version
                yield now
            if now.record.state.ended:
                return
            await bell.wait()
            await asyncio.sleep(NEWS_SECONDS)

    def _cancel(self, video: str) -> bool:
        # The frames are counted here, at the disk, and not before its queue: what was reported
        # while the video waited for its end must not be more than what it keeps.
        frames = self._lanes.frames(video) or 0
        return self._files.store.cancel(video, self._clock(), frames)

    def _seen(self, record: VideoRecord) -> Video:
        return video_now(record, self._lanes.frames(record.id), self._clock())

    def _ring(self) -> None:
        bell, self._bell = self._bell, asyncio.Event()
        bell.set()
