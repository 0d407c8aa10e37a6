"""Uploaded videos: durable rows in, artefacts out, with one worker shared by all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Collection
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.spec import ClassLabel
from server.database.video_record import VideoRecord, VideoState, new_id
from server.database.videos import VideoRows
from server.errors import Conflict, Fault, NoCapacity, NotFound, Unavailable
from server.frame import VideoInfo
from server.logs import log_event
from server.settings import VideoSettings
from server.sinks.coding import check_encodable
from server.sources.hardware import Hardware
from server.sources.probe_process import Prober
from server.sources.probing import VideoLimits
from server.sources.sandbox import Sandbox
from server.threads import ThreadRunner
from server.videos.disk_space import DiskSpace
from server.videos.files import VideoFiles
from server.videos.folder_lock import FolderLock
from server.videos.growing import PartOf
from server.videos.progress import Video, video_now
from server.videos.request import VideoRequest
from server.videos.runner import JobRunner
from server.videos.storage import SOURCE, Storage, StoredFile
from server.videos.video_job import Services
from server.workers.serving import Serving

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing

GATHER_SECONDS = 0.2
"""How long further changes gather before they are reported in one event."""

RETRY_SECONDS = 1.0
"""How often a database that does not answer is asked for those who watch."""

_log = logging.getLogger(__name__)


class Jobs:
    """Uploaded videos from their first byte to their removal; what /v1/videos does.

    One thread does all database and file work, in order; the job runner segments. Mutable state of
    its own: ``_changed``, an event that is set and replaced whenever something has changed; and
    ``_left``, the videos whose files may have to be removed.
    """

    def __init__(
        self,
        worker: Serving,
        store: VideoRows,
        folder: Path,
        settings: VideoSettings,
        *,
        hardware: Hardware | None = None,
        sandbox: Sandbox | None = None,
        storage: Storage | None = None,
        clock: Callable[[], float] = time.time,
        most_of_one: int | None = None,
        tracing: Tracing | None = None,
    ) -> None:
        self.settings = settings
        self._storage = storage
        self._worker = worker
        self._clock = clock
        self._changed = asyncio.Event()
        self._left: list[str] = []
        self._watching: asyncio.Task[None] | None = None
        self._lock = FolderLock(folder)
        self._files = VideoFiles(store, folder, settings, most_of_one)
        self.space = DiskSpace(folder, settings.pause_free_bytes)
        self._disk = ThreadRunner("videos")
        self._probes = ThreadRunner("probe", threads=2)
        self._probe = Prober(settings.probe_bytes, settings.probe_seconds)
        services = Services(
            worker, self._files, self._disk, self.space, settings, hardware, clock, tracing, sandbox
        )
        self._runner = JobRunner(services, self._notify)

    def __repr__(self) -> str:
        return f"<Jobs {self._runner!r}>"

    @property
    def files(self) -> VideoFiles:
        return self._files

    @property
    def disk(self) -> ThreadRunner:
        """Return the one thread that does all database and file work."""
        return self._disk

    @property
    def model(self) -> str:
        """Return the name of the model that segments."""
        return self._worker.spec.name

    @property
    def classes(self) -> tuple[ClassLabel, ...]:
        """Return the classes that it distinguishes."""
        return self._worker.spec.classes

    async def start(self) -> None:
        """Queue again the videos that a dead process left running, clean the folder and begin.

        The worker must have started. Raises Fault if another process uses the folder.
        """
        await self._disk(self._lock.take)
        for _ in range(await self._disk(self._files.recover, self._clock())):
            self._runner.added()
        self._runner.start()
        self._watching = asyncio.create_task(self.space.watch())

    async def drain(self) -> None:
        """Begin no more videos; put those that run back into the queue for the next start.
        Idempotent."""
        await self._runner.drain()

    async def stop(self) -> None:
        """Drain and end the threads; the store stays open for its owner to close."""
        await self.drain()
        if self._watching:
            self._watching.cancel()
        await self._disk.close()
        await asyncio.to_thread(self._probe.close)
        await self._probes.close()
        self._lock.release()

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

    async def _discard(self, video: str) -> None:
        """Remove a new video's file unless it was added; later, if the store does not answer."""
        try:
            await self._disk(self._files.discard_unless_added, video)
        except Fault:
            self._left.append(video)

    def check_room(self, size: int) -> None:
        """Raise NoCapacity if ``size`` more bytes would leave the disk nearly full."""
        self._files.check_room(size)

    async def probe(self, path: Path, artefacts: Collection[str] = ()) -> VideoInfo:
        """Return the description of an uploaded file's video.

        Raises UnsupportedMedia, TooLarge, or BadVideo, the last also if its pictures are too large
        or too small for one of the artefacts.
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
            model=self.model,
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
            self._runner.added()  # after an error too: a store that fails may have added it before
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

    async def find(self, video: str) -> Video:
        """Return the video with this id. Raises NotFound if there is none."""
        record = await self._disk(self._files.store.get, video)
        if record is None:
            raise NotFound("There is no such video: it was removed, or its id is wrong.")
        return self._seen(record)

    async def page(self, limit: int, before: str | None, owner: str | None = None) -> list[Video]:
        """Return the newest videos that are older than the id ``before``, at most ``limit``; only
        those of ``owner``, if it is given."""
        found = await self._disk(self._files.store.page, limit, before, owner)
        return [self._seen(record) for record in found]

    async def artefact(self, video: str, name: str) -> tuple[VideoRecord, Path | StoredFile]:
        """Return the file of a video's artefact.

        Raises NotFound if there is none, and Conflict while the video has not ended.
        """
        record = (await self.find(video)).record
        if not record.state.ended:
            raise Conflict(f"The video is {record.state}: its results come when it has succeeded.")
        if record.state is not VideoState.SUCCEEDED:
            raise NotFound(f"The video has no {name}: its state is {record.state}.")
        if name not in record.artefacts:
            raise NotFound(f"The video has no {name}: it was not requested with the upload.")
        return record, await self._located(self._files.results(video) / name, video, name)

    async def source(self, video: str) -> tuple[VideoRecord, Path | StoredFile]:
        """Return the uploaded file of a video. Raises NotFound if it is not kept."""
        found = await self.find(video)
        if not found.has_source:
            raise NotFound("The uploaded file of this video is not kept.")
        return found.record, await self._located(self._files.upload(video), video, SOURCE)

    async def _located(self, path: Path, video: str, name: str) -> Path | StoredFile:
        """Return a file where it is: on the disk, or else in the storage."""
        if await self._disk(path.exists):
            return path
        if self._storage is None:
            raise NotFound("The file of this video is lost: remove the video.")
        return await asyncio.to_thread(self._storage.find, video, name)

    def parts(self, video: str, name: str) -> PartOf:
        """Return where the parts of an artefact are while the video runs."""
        return self._files.parts(video, name)

    @asynccontextmanager
    async def viewing(self, video: str) -> AsyncIterator[None]:
        """Keep the parts of a video that runs in the block, unless it is cancelled, removed or
        fails."""
        viewers = self._files.places.viewers
        viewers.begin(video)
        try:
            yield
        finally:
            await asyncio.shield(asyncio.to_thread(viewers.end, video))

    async def delete(self, video: str) -> None:
        """Cancel a video, or remove it if it has ended.

        Its files are gone when this returns; the row of a cancelled video stays until it is deleted
        again. Raises NotFound if there is no such video.
        """
        await self.find(video)
        is_cancelled = await self._disk(self._cancel, video)
        await self._runner.halt(video)  # it runs still if a store that failed has cancelled it
        if is_cancelled:
            await self._disk(self._files.clear, video)
        else:
            await self._disk(self._files.remove, video)
        log_event(_log, "video cancelled" if is_cancelled else "video removed", video=video)
        self._notify()

    async def expire(self) -> None:
        """Remove the videos whose time is up, and the files of those that were not added."""
        left, self._left = self._left, []
        for video in left:
            await self._discard(video)
        if await self._disk(self._files.expire, self._clock()):
            self._notify()

    async def watch(self, video: str, seen: str | None) -> AsyncGenerator[Video]:
        """Yield the video now unless its version is ``seen``, and again after each change.

        Yield at most once per ``GATHER_SECONDS``, and nothing while the database does not answer.
        End when the video ends or is removed, or the server drains.
        """
        while not self._runner.draining:
            changed = self._changed
            try:
                now = await self.find(video)
            except NotFound:
                return
            except Unavailable:
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if now.version != seen:
                seen = now.version
                yield now
            if now.record.state.ended:
                return
            await changed.wait()
            await asyncio.sleep(GATHER_SECONDS)

    def _cancel(self, video: str) -> bool:
        # Count the frames in the disk's thread, not before this call is queued there: a watcher
        # must not receive a higher number in between than the one that is stored.
        frames = self._runner.frames(video) or 0
        return self._files.store.cancel(video, self._clock(), frames)

    def _seen(self, record: VideoRecord) -> Video:
        now = video_now(record, self._runner.frames(record.id), self._clock())
        return replace(
            now,
            has_source=self._files.keeps_upload(record.state),
            expires=self._files.expires(record),
            paused=self.space.reason if record.state is VideoState.RUNNING else None,
        )

    def _notify(self) -> None:
        changed, self._changed = self._changed, asyncio.Event()
        changed.set()
