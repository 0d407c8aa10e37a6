"""Uploaded videos: durable rows in, artefacts out, with one worker shared by all."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from models.spec import ClassLabel
from server.database.video_record import VideoRecord, VideoState
from server.database.videos import VideoRows
from server.errors import NotFound, Unavailable
from server.logs import log_event
from server.settings import VideoSettings
from server.sources.hardware import Hardware
from server.sources.sandbox.decoder import Sandbox
from server.sources.sandbox.probe_process import Prober
from server.threads import ThreadRunner
from server.videos.arrivals import Arrivals
from server.videos.disk_space import DiskSpace
from server.videos.durable_ledger import OnPiece, OnTaken
from server.videos.files import VideoFiles
from server.videos.outputs import Outputs
from server.videos.progress import Video, video_now
from server.videos.recovery import recover
from server.videos.runner import JobRunner
from server.videos.services import Services
from server.videos.storage import Storage
from server.workers.serving import Serving

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing

GATHER_SECONDS = 0.2
"""How long further changes gather before they are reported in one event."""

RETRY_SECONDS = 1.0
"""Seconds between attempts to read the database for watchers while it does not answer."""

LOOK_SECONDS = 1.0
"""Seconds after which watchers receive changes made by other servers on the same folder."""

_log = logging.getLogger(__name__)


class Jobs:
    """Uploaded videos from their first byte to their removal: the operations of /v1/videos.

    ``arrivals`` accepts new ones, ``outputs`` finds their results. One thread does all database and
    file work, in order; the job runner segments. Mutable state: ``_changed``, an event that is set
    and replaced whenever something has changed.
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
        on_piece: OnPiece = lambda _: None,
        on_taken: OnTaken = lambda _: None,
    ) -> None:
        """Keep the files in ``folder``; it may be shared with others (``settings.folder``)."""
        self.settings = settings
        self._worker = worker
        self._clock = clock
        self._changed = asyncio.Event()
        self._watching: asyncio.Task[None] | None = None
        self._files = VideoFiles(store, folder, settings, most_of_one)
        self.space = DiskSpace(folder, settings.pause_free_bytes)
        self._disk = ThreadRunner("videos")
        self._prober = Prober(
            settings.probe_bytes, settings.probe_seconds, sandboxed=sandbox is not None
        )
        services = Services(
            worker,
            self._files,
            self._disk,
            self.space,
            settings,
            hardware,
            clock,
            tracing,
            sandbox,
            self._prober,
            on_piece,
            on_taken,
        )
        self._runner = JobRunner(services, self._notify)
        self.arrivals = Arrivals(
            self._files,
            self._disk,
            self._runner,
            settings,
            self._prober,
            lambda: self.model,
            self._seen,
            clock,
        )
        self.outputs = Outputs(self._files, self._disk, storage, self.find)

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

        The worker must have started.
        """
        await self._disk(recover, self._files, self._clock())
        self._runner.start()
        self._watching = asyncio.create_task(self.space.watch())

    async def drain(self) -> None:
        """Start no more videos; put running ones back into the queue for the next start.
        Idempotent."""
        await self._runner.drain()

    async def stop(self) -> None:
        """Drain and end the threads; the store stays open for its owner to close."""
        await self.drain()
        if self._watching:
            self._watching.cancel()
        await self._disk.close()
        await asyncio.to_thread(self._prober.close)
        await self.arrivals.close()

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

    async def delete(self, video: str) -> None:
        """Cancel a video, or remove it if it has ended.

        Its files have been removed when this returns; the row of a cancelled video stays until it
        is deleted again. Raises NotFound if there is no such video.
        """
        await self.find(video)
        is_cancelled = await self._disk(self._cancel, video)
        await self._runner.halt(video)  # it may still run, if a failing store has cancelled it
        if is_cancelled:
            await self._disk(self._files.clear, video)
        else:
            await self._disk(self._files.remove, video)
        log_event(_log, "video cancelled" if is_cancelled else "video removed", video=video)
        self._notify()

    async def expire(self) -> None:
        """Remove the videos whose time is up, and the files of videos that were not added."""
        await self.arrivals.remove_left()
        if await self._disk(self._files.expire, self._clock()):
            self._notify()

    async def watch(self, video: str, seen: str | None) -> AsyncGenerator[Video]:
        """Yield the video now unless its version is ``seen``, and again after each change.

        Yield at most once per ``GATHER_SECONDS``, and not while the database does not answer; yield
        changes by other servers after at most ``LOOK_SECONDS``. End when the video ends or is
        removed, or the server drains.
        """
        most = LOOK_SECONDS if self._files.is_shared else None
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
            with suppress(TimeoutError):
                # Not wait_for: Python 3.11's forgets a cancellation that comes with a change.
                async with asyncio.timeout(most):
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
