"""The runner of queued videos: a few tasks, each of which segments one video at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from server import heap
from server.database.video_record import VideoRecord, VideoState
from server.engines.info import EngineInfo
from server.errors import Fault, MastreamError, NoCapacity, Unavailable
from server.logs import log_event
from server.videos.lanes import measure_lanes
from server.videos.video_job import Services, VideoJob

RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Running:
    """A video being segmented, its task, and when it began."""

    job: VideoJob
    task: asyncio.Task[None]
    began: float


class JobRunner:
    """Segments queued videos, oldest first, ``settings.running`` of them at a time.

    ``changed`` is called on the event loop whenever a video has made progress. Mutable state: a
    semaphore with the number of videos that may be waiting, the videos that run, whether the store
    may have marked others as running, whether to begin no more, and how many lanes were measured
    for which engines. A video, database or disk that
    fails never ends one of the tasks.
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
        self._measured: dict[tuple[EngineInfo, ...], int] = {}
        self._measuring = asyncio.Lock()
        self._waiting = asyncio.Semaphore(0)
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
        """Note that one more video waits."""
        self._waiting.release()

    def frames(self, video: str) -> int | None:
        """Return how many frames of a video are recorded; None if it does not run here."""
        running = self._running.get(video)
        return None if running is None else running.job.counts.total

    async def halt(self, video: str) -> None:
        """Stop a cancelled video if it runs; return when its task has ended."""
        running = self._running.get(video)
        if running is not None:
            running.task.cancel()
            await asyncio.wait([running.task])

    async def drain(self) -> None:
        """Begin no more videos, and put those that run back into the queue. Idempotent."""
        self.draining = True
        for running in self._running.values():
            running.task.cancel()
        for _ in self._tasks:
            self._waiting.release()
        self._changed()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def _run(self) -> None:
        """Segment one video after the other, until drained."""
        while True:
            await self._waiting.acquire()
            if self.draining:
                return
            try:
                await self._next()
                await self._disk(heap.give_back)
            except Exception:  # whatever it was, the waiting videos must not wait for ever
                _log.exception("the queue of videos failed; retrying in %s s", RETRY_SECONDS)
                self._retry_soon()

    async def _next(self) -> None:
        record = await self._claim()
        if record is None:
            return
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

    async def _claim(self) -> VideoRecord | None:
        """Begin the oldest video that waits, if any.

        A store that fails may have marked it as running before: nobody would ever run it. So it is
        put back before the next one is claimed; the lock keeps those that are being claimed from
        being taken for such.
        """
        async with self._claiming:
            if self._unsure:
                await self._disk(self._files.store.release_others, list(self._running))
            self._unsure = True
            record = await self._disk(self._files.store.claim, self._clock())
            self._unsure = False
            if record is not None:
                self._begin(record)
        return record

    def _begin(self, record: VideoRecord) -> None:
        job = VideoJob(self._services, record, self._lanes, self._changed)
        task = asyncio.create_task(job.run())
        running = self._running[record.id] = _Running(job, task, self._clock())
        if self.draining:
            running.task.cancel()
        log_event(_log, "video started", video=record.id, owner=record.owner)
        self._changed()

    async def _lanes(self) -> int:
        """Return the number of lanes; it is measured once for each set of engines."""
        if self._settings.lanes is not None:
            return self._settings.lanes
        engines = self._services.worker.engines
        async with self._measuring:
            if engines not in self._measured:
                self._measured[engines] = await measure_lanes(self._services.worker)
        return self._measured[engines]

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
        """Store how a video ended; the store ignores it if the video was cancelled meanwhile."""
        error = None if running.task.cancelled() else running.task.exception()
        if running.task.cancelled():
            await self._disk(self._files.put_back, video)
        elif isinstance(error, NoCapacity | Unavailable):
            await self._disk(self._files.put_back, video)
            self._retry_soon()
        elif error is not None:
            await self._end(video, VideoState.FAILED, running, _problem(video, error))
        else:
            await self._end(video, VideoState.SUCCEEDED, running, None)

    async def _end(self, video: str, state: VideoState, running: _Running, problem: Any) -> None:
        done, losses = running.job.counts.total, running.job.counts.losses
        await self._disk(self._files.end, video, state, self._clock(), done, problem, losses)
        code = None if problem is None else problem["code"]
        log_event(_log, "video ended", video=video, state=state.value, frames=done, code=code)
        if self._services.tracing:
            self._services.tracing.video(
                running.began, self._clock(), video=video, state=state.value, frames=done, code=code
            )

    def _retry_soon(self) -> None:
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._waiting.release)


def _problem(video: str, error: BaseException) -> dict[str, Any]:
    """Return the problem that a failed video reports; log the error if it is a Fault or foreign."""
    if isinstance(error, MastreamError) and not isinstance(error, Fault):
        return error.problem()
    _log.error("video %s failed", video, exc_info=error)
    ours = Fault("The server failed on this video; its log says why.")
    return (error if isinstance(error, Fault) else ours).problem()
