"""The runner of videos: a few tasks, each of which works on one video at a time."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress

from server import heap
from server.database.video_record import VideoRecord
from server.errors import Fault
from server.logs import log_event
from server.videos.concluding import Concluding, Running
from server.videos.lanes import lanes_for
from server.videos.services import Services
from server.videos.steps import first_to_do, is_idle, others_work
from server.videos.video_job import VideoJob

RETRY_SECONDS = 1.0

LOOK_SECONDS = 1.0
"""Seconds between searches for videos that other servers on the same folder may have added, or
left."""

_log = logging.getLogger(__name__)


class JobRunner:
    """Works on the videos of its folder, oldest first, ``settings.running`` of them at a time.

    A task leaves a video when it has ended, or when other servers do all the remaining work.
    ``changed`` is called on the event loop whenever a video has made progress. Mutable state: an
    event that is set when there may be more work, the videos that run here, those that are left to
    others because they failed here (and until when), whether the store may have more rows of this
    server than those, and whether to start no more. Failures of a video, the database or the disk
    never end one of the tasks.
    """

    def __init__(
        self,
        services: Services,
        changed: Callable[[], None],
    ) -> None:
        self._services = services
        self._files = services.files
        self._disk = services.disk
        self._settings = services.settings
        self._clock = services.clock
        self._changed = changed
        self._more = asyncio.Event()
        self._running: dict[str, Running] = {}
        self._left: dict[str, float] = {}
        self._claiming = asyncio.Lock()
        self._unsure = False
        self._tasks: list[asyncio.Task[None]] = []
        self._concluding = Concluding(services, self._others)
        self.draining = False

    def __repr__(self) -> str:
        return f"<JobRunner running={list(self._running)} draining={self.draining}>"

    @property
    def started(self) -> bool:
        return bool(self._tasks)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._settings.running)]

    def added(self) -> None:
        """Signal that there may be more work."""
        self._more.set()

    def frames(self, video: str) -> int | None:
        """Return how many frames of a video are recorded, as far as this server knows; None if it
        does not run here."""
        running = self._running.get(video)
        return None if running is None else running.job.counts.total

    async def halt(self, video: str) -> None:
        """Stop a cancelled video if it runs here; return when its task has ended."""
        running = self._running.get(video)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])

    async def drain(self) -> None:
        """Start no more videos, and put running ones back into the queue. Idempotent."""
        self.draining = True
        for running in self._running.values():
            running.task.cancel()
        self._more.set()
        self._changed()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        """Work on one video after the other, until drained."""
        while not self.draining:
            self._more.clear()
            try:
                pause = await self._next()
                if pause == 0:
                    await self._disk(heap.give_back)
            except Exception:  # whatever the error is, the waiting videos must not wait forever
                _log.exception("the queue of videos failed; retrying in %s s", RETRY_SECONDS)
                pause = RETRY_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), pause)

    async def _next(self) -> float | None:
        """Work on the oldest video for which there is work; return after how many seconds to look
        for the next one, None: when one is added."""
        record, pause = await self._claim()
        if record is None:
            return pause
        running = self._running[record.id]
        try:
            await asyncio.wait([running.task])
            await self._until_stored(self._concluding.conclude, running)
        except OSError as error:
            await self._until_stored(self._concluding.fail, running, error)
        finally:
            if running.is_left:
                self._left[record.id] = time.monotonic() + self._files.terms.rest
            del self._running[record.id]
            self._changed()
        return RETRY_SECONDS if running.may_fail_again else 0

    async def _claim(self) -> tuple[VideoRecord | None, float | None]:
        """Start the oldest video for which there is work, if any; also return after how many
        seconds to look again if there is none.

        A failing store may have given this server rows that it does not know of; nobody would work
        on those before their leases end. So they are released before the next video is started.
        """
        async with self._claiming:
            store, here, record = self._files.store, list(self._running), None
            if self._unsure:
                await self._disk(self._files.give_back, here)
            self._unsure = True
            standings = await self._disk(store.standings)
            signature, patience = self._services.signature(), self._files.terms.patience
            found = first_to_do(standings, signature, [*here, *self._left_now()], patience)
            if found is not None:
                record = await self._disk(store.begin, found.id, self._clock(), anew=is_idle(found))
            self._unsure = False
            if record is not None:
                self._begin(record)
        may_come = found or self._files.is_shared or others_work(standings, here)
        return record, LOOK_SECONDS if may_come else None

    def _others(self, video: str) -> list[str]:
        return [one for one in self._running if one != video]

    def _left_now(self) -> list[str]:
        """Return the videos that are currently left to other servers."""
        now = time.monotonic()
        self._left = {video: until for video, until in self._left.items() if until > now}
        return list(self._left)

    def _begin(self, record: VideoRecord) -> None:
        job = VideoJob(self._services, record, self._lanes, self._changed)
        task = asyncio.create_task(job.run())
        running = self._running[record.id] = Running(record.id, job, task, self._clock())
        if self.draining:
            running.task.cancel()
        self._more.set()  # another video may have been added while the others did not wait
        log_event(_log, "video started", video=record.id, owner=record.owner)
        self._changed()

    def _lanes(self) -> int:
        """Return how many pieces to segment at the same time with the current engines."""
        return self._settings.lanes or lanes_for(self._services.worker.engines)

    async def _until_stored(
        self, store: Callable[..., Awaitable[None]], running: Running, *how: BaseException
    ) -> None:
        """Store how a video ended, and retry until that succeeds.

        A row that stayed running would make clients wait forever. When draining, give up instead:
        the next start queues the video again.
        """
        while True:
            try:
                return await store(running, *how)
            except Fault:
                if self.draining:
                    raise
                _log.exception(
                    "the end of %s is not stored; retrying in %s s", running.video, RETRY_SECONDS
                )
                await asyncio.sleep(RETRY_SECONDS)
