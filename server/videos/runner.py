"""The runner of queued videos: a few tasks, each of which segments one video at a time."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

from server import heap
from server.database.video_record import VideoRecord, VideoState
from server.errors import Fault, MastreamError, NoCapacity
from server.frame import Losses
from server.settings import VideoSettings
from server.sources.hardware import Hardware
from server.threads import ThreadRunner
from server.videos.files import VideoFiles
from server.videos.segmenting import segment_video
from server.workers.serving import Serving

RETRY_SECONDS = 1.0
_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class _Running:
    """A video being segmented: its task, the frames recorded so far and, once known, its losses."""

    task: asyncio.Task[int]
    frames: int = 0
    losses: Losses | None = None


class JobRunner:
    """Segments queued videos, oldest first, ``settings.running`` of them at a time.

    ``changed`` is called on the event loop whenever a video has made progress. Mutable state: a
    semaphore with the number of videos that may be waiting, the videos that run, and whether to
    begin no more. A video, database or disk that fails never ends one of the tasks.
    """

    def __init__(
        self,
        worker: Serving,
        video_files: VideoFiles,
        disk: ThreadRunner,
        settings: VideoSettings,
        *,
        hardware: Hardware | None,
        clock: Callable[[], float],
        changed: Callable[[], None],
    ) -> None:
        self._worker = worker
        self._files = video_files
        self._disk = disk
        self._settings = settings
        self._hardware = hardware
        self._clock = clock
        self._changed = changed
        self._waiting = asyncio.Semaphore(0)
        self._running: dict[str, _Running] = {}
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
        return None if running is None else running.frames

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
        record = await self._disk(self._files.store.claim, self._clock())
        if record is None:
            return
        running = self._begin(record)
        try:
            await asyncio.wait([running.task])
            await self._until_stored(self._conclude, record.id, running)
        except OSError as error:
            problem = _problem(record.id, error)
            await self._until_stored(self._end, record.id, VideoState.FAILED, running, problem)
        finally:
            del self._running[record.id]
            self._changed()

    def _begin(self, record: VideoRecord) -> _Running:
        def on_progress(frames: int) -> None:
            running.frames = frames
            self._changed()

        def on_losses(losses: Losses) -> None:
            running.losses = losses

        work = segment_video(
            self._worker,
            self._files.upload(record.id),
            self._files.results(record.id),
            record.info,
            record.artefacts,
            style=record.style,
            max_pixels=self._settings.max_pixels,
            hardware=self._hardware,
            on_progress=on_progress,
            on_losses=on_losses,
        )
        running = self._running[record.id] = _Running(asyncio.create_task(work))
        if self.draining:
            running.task.cancel()
        self._changed()
        return running

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
        elif isinstance(error, NoCapacity):
            await self._disk(self._files.put_back, video)
            self._retry_soon()
        elif error is not None:
            await self._end(video, VideoState.FAILED, running, _problem(video, error))
        else:
            await self._end(video, VideoState.SUCCEEDED, running, None)

    async def _end(self, video: str, state: VideoState, running: _Running, problem: Any) -> None:
        done, losses = running.frames, running.losses
        await self._disk(self._files.end, video, state, self._clock(), done, problem, losses)

    def _retry_soon(self) -> None:
        asyncio.get_running_loop().call_later(RETRY_SECONDS, self._waiting.release)


def _problem(video: str, error: BaseException) -> dict[str, Any]:
    """Return the problem that a failed video reports; log the error if it is a Fault or foreign."""
    if isinstance(error, MastreamError) and not isinstance(error, Fault):
        return error.problem()
    _log.error("video %s failed", video, exc_info=error)
    ours = Fault("The server failed on this video; its log says why.")
    return (error if isinstance(error, Fault) else ours).problem()
