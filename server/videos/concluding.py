"""Storing how the work on a video ended on this server."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any

from server.database.piece_statements import Held
from server.database.video_record import VideoState
from server.errors import Fault, MastreamError, NoCapacity, Unavailable
from server.logs import log_event
from server.videos.places import RESULTS
from server.videos.services import Services
from server.videos.video_job import VideoJob

_log = logging.getLogger(__name__)


@dataclass(slots=True, eq=False)
class Running:
    """A video that is worked on here, its task, and when it started. ``taken`` is the row that was
    taken to end the video, if its job had none."""

    video: str
    job: VideoJob
    task: asyncio.Task[str | None]
    began: float
    taken: Held | None = None

    @property
    def error(self) -> BaseException | None:
        """Return why it ended, unless it was cancelled or has done its work."""
        return None if self.task.cancelled() else self.task.exception()

    @property
    def is_refused(self) -> bool:
        """Return whether it must wait for a session, for the database or for another server."""
        return isinstance(self.error, NoCapacity | Unavailable) or self.is_left

    @property
    def is_left(self) -> bool:
        """Return whether it is left to other servers for a while because it failed here."""
        return self.task.done() and self.error is None and self.job.rests

    @property
    def may_fail_again(self) -> bool:
        """Return whether to wait before the next video, because this server could not end this
        one."""
        has_failed = self.error is not None and self.job.ends_by is None
        return self.is_refused or has_failed


class Concluding:
    """Stores how videos ended; ``others`` returns those that run here, except for one."""

    def __init__(self, services: Services, others: Callable[[str], Collection[str]]) -> None:
        self._services = services
        self._files = services.files
        self._disk = services.disk
        self._clock = services.clock
        self._others = others

    async def conclude(self, running: Running) -> None:
        """Store how a video ended; the store ignores this if the video was cancelled meanwhile, or
        if others have it now. Raises Fault if the store fails."""
        video = running.video
        if running.task.cancelled() or running.is_refused:
            await self._disk(self._files.put_back, video, self._others(video))
        elif running.error is not None:
            await self.fail(running, running.error)
        elif (results := running.task.result()) is not None:
            await self._end(running, VideoState.SUCCEEDED, results=results)
        else:
            await self._disk(self._files.leave, video, self._clock())

    async def fail(self, running: Running, error: BaseException) -> None:
        """Let a video fail, unless others work on it or it has ended. Raises Fault if the store
        fails."""
        if await self._end(running, VideoState.FAILED, problem_of(error)):
            if not _is_users(error):
                _log.error("video %s failed", running.video, exc_info=error)
        else:
            _log.warning("%s failed here, but not on all servers: %s", running.video, error)

    async def _end(
        self, running: Running, state: VideoState, problem: Any = None, results: str = RESULTS
    ) -> bool:
        """Return whether a video has ended like this; it has not if others have it."""
        video, counts = running.video, running.job.counts
        by = running.job.ends_by or await self._taken(running)
        if by is None:
            await self._disk(self._files.leave, video, self._clock())
            return False
        end, done, losses = self._files.end, counts.total, counts.losses
        now = self._clock()
        if not await self._disk(end, by, state, now, done, problem, losses, results):
            return False
        code = None if problem is None else problem["code"]
        log_event(_log, "video ended", video=video, state=state.value, frames=done, code=code)
        if self._services.tracing:
            self._services.tracing.video(
                running.began, now, video=video, state=state.value, frames=done, code=code
            )
        return True

    async def _taken(self, running: Running) -> Held | None:
        """Take the work on a whole video on which nobody works; return None if others work on it,
        or it has ended. If this fails, or what follows, the next attempt continues it."""
        if running.taken is None:
            # If the store failed to answer, this server may have the row without knowing it.
            await self._disk(self._files.give_back, self._others(running.video))
            running.taken = await self._disk(self._files.take_whole, running.video)
        taken = running.taken
        if taken is not None and await self._disk(self._files.others_work, taken):
            await self._disk(self._files.piece_rows.release, taken)
            running.taken = None
        return running.taken


def problem_of(error: BaseException) -> dict[str, Any]:
    """Return the problem that a failed video reports."""
    ours = Fault("The server failed on this video; its log says why.")
    return (error if isinstance(error, MastreamError) else ours).problem()


def _is_users(error: BaseException) -> bool:
    """Return whether an error is the video's fault, and not this server's."""
    return isinstance(error, MastreamError) and not isinstance(error, Fault)
