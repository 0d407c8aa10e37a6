"""The runner of videos: a few tasks, each of which works on one video at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from server import heap
from server.database.video_record import VideoRecord, VideoState
from server.errors import Fault, MastreamError, NoCapacity, Unavailable
from server.logs import log_event
from server.videos.lanes import lanes_for
from server.videos.places import RESULTS
from server.videos.services import Services
from server.videos.steps import first_to_do, is_idle, others_work
from server.videos.video_job import VideoJob

RETRY_SECONDS = 1.0

LOOK_SECONDS = 1.0
"""How often to look for work on videos that other servers on the same folder may have added, or
left."""

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Running:
    """A video that is worked on here, its task, and when it began."""

    job: VideoJob
    task: asyncio.Task[str | None]
    began: float

    @property
    def error(self) -> BaseException | None:
        """Return why it ended, unless it was cancelled or did what there was to do."""
        return None if self.task.cancelled() else self.task.exception()

    @property
    def is_refused(self) -> bool:
        """Return whether it has to wait: for a session, for the database or for another server."""
        return isinstance(self.error, NoCapacity | Unavailable)

    @property
    def may_fail_again(self) -> bool:
        """Return whether to wait before the next one: this server could not end it."""
        return self.is_refused or (self.error is not None and self.job.ends_by is None)


class JobRunner:
    """Works on the videos of its folder, oldest first, ``settings.running`` of them at a time.

    A task leaves a video when it has ended, or when other servers do all that is left of it.
    ``changed`` is called on the event loop whenever a video has made progress. Mutable state: an
    event that is set when there may be more to do, the videos that run here, whether the store
    may have more rows of this server than that, and whether to begin no more. A video, database or
    disk that fails never ends one of the tasks.
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
        self._running: dict[str, _Running] = {}
        self._claiming = asyncio.Lock()
        self._unsure = False
        self._tasks: list[asyncio.Task[None]] = []
        self.draining = False

    def __repr__(self) -> str:
        return f"<JobRunner running={list(self._running)} draining={self.draining}>"

    @property
    def started(self) -> bool:
        return bool(self._tasks)

    def start(self) -> None:
        self._tasks = [asyncio.create_task(self._run()) for _ in range(self._settings.running)]

    def added(self) -> None:
        """Note that there may be more to do."""
        self._more.set()

    def frames(self, video: str) -> int | None:
        """Return how many frames of a video are recorded, as far as that is known here; None if it
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
        """Begin no more videos, and put those that run back into the queue. Idempotent."""
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
            except Exception:  # whatever it was, the waiting videos must not wait for ever
                _log.exception("the queue of videos failed; retrying in %s s", RETRY_SECONDS)
                pause = RETRY_SECONDS
            with suppress(TimeoutError):
                await asyncio.wait_for(self._more.wait(), pause)

    async def _next(self) -> float | None:
        """Work on the oldest video for which there is something to do; return after how many
        seconds to look for the next, None: when it is added."""
        record, pause = await self._claim()
        if record is None:
            return pause
        running = self._running[record.id]
        try:
            await asyncio.wait([running.task])
            await self._until_stored(self._conclude, record.id, running)
        except OSError as error:
            problem = _problem(record.id, error)
            await self._until_stored(self._end, record.id, VideoState.FAILED, running, problem)
        finally:
            del self._running[record.id]
            self._changed()
        return RETRY_SECONDS if running.may_fail_again else 0

    async def _claim(self) -> tuple[VideoRecord | None, float | None]:
        """Begin the oldest video for which there is something to do, if any; return, too, after how
        many seconds to look again if there is none.

        A store that fails may have given this server more than it knows of: nobody would work on
        that before its lease ends. So it is given back before the next video is begun.
        """
        async with self._claiming:
            store, here, record = self._files.store, list(self._running), None
            if self._unsure:
                await self._disk(self._files.give_back, here)
            self._unsure = True
            standings = await self._disk(store.standings)
            found = first_to_do(standings, self._services.signature(), here)
            if found is not None:
                record = await self._disk(store.begin, found.id, self._clock(), anew=is_idle(found))
            self._unsure = False
            if record is not None:
                self._begin(record)
        may_come = found or self._files.is_shared or others_work(standings, here)
        return record, LOOK_SECONDS if may_come else None

    def _begin(self, record: VideoRecord) -> None:
        job = VideoJob(self._services, record, self._lanes, self._changed)
        task = asyncio.create_task(job.run())
        running = self._running[record.id] = _Running(job, task, self._clock())
        if self.draining:
            running.task.cancel()
        self._more.set()  # another one may have been added while the others did not wait
        log_event(_log, "video started", video=record.id, owner=record.owner)
        self._changed()

    def _lanes(self) -> int:
        """Return how many pieces to segment at the same time, with the engines that serve now."""
        return self._settings.lanes or lanes_for(self._services.worker.engines)

    async def _until_stored(
        self, write: Callable[..., Awaitable[None]], video: str, *how: Any
    ) -> None:
        """Store how a video ended, and retry until that succeeds.

        A row that stayed running would make clients wait for ever. When draining, give up instead:
        the next start queues the video again.
        """
        while True:
            try:
                return await write(video, *how)
            except Fault:
                if self.draining:
                    raise
                _log.exception(
                    "the end of %s is not stored yet; retrying in %s s", video, RETRY_SECONDS
                )
                await asyncio.sleep(RETRY_SECONDS)

    async def _conclude(self, video: str, running: _Running) -> None:
        """Store how a video ended; the store ignores it if the video was cancelled meanwhile, or
        if others have it now."""
        if running.task.cancelled() or running.is_refused:
            others = [one for one in self._running if one != video]
            await self._disk(self._files.put_back, video, others)
        elif running.error is not None:
            problem = _problem(video, running.error)
            await self._end(video, VideoState.FAILED, running, problem)
        elif (results := running.task.result()) is not None:
            await self._end(video, VideoState.SUCCEEDED, running, None, results)
        else:
            await self._disk(self._files.leave, video, self._clock())

    async def _end(
        self,
        video: str,
        state: VideoState,
        running: _Running,
        problem: Any,
        results: str = RESULTS,
    ) -> None:
        done, losses, by = running.job.counts.total, running.job.counts.losses, running.job.ends_by
        by = by or await self._disk(self._files.take_idle, video)
        if by is None:
            _log.warning("%s failed here, but it has ended or others work on it", video)
            await self._disk(self._files.leave, video, self._clock())
            return
        now = self._clock()
        ended = await self._disk(self._files.end, by, state, now, done, problem, losses, results)
        if not ended:
            return
        code = None if problem is None else problem["code"]
        log_event(_log, "video ended", video=video, state=state.value, frames=done, code=code)
        if self._services.tracing:
            self._services.tracing.video(
                running.began, self._clock(), video=video, state=state.value, frames=done, code=code
            )


def _problem(video: str, error: BaseException) -> dict[str, Any]:
    """Return the problem that a failed video reports; log the error if it is a Fault or foreign."""
    if isinstance(error, MastreamError) and not isinstance(error, Fault):
        return error.problem()
    _log.error("video %s failed", video, exc_info=error)
    ours = Fault("The server failed on this video; its log says why.")
    return (error if isinstance(error, Fault) else ours).problem()
