"""The service as its routes see it: it starts, is ready, drains and stops."""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Sequence
from contextlib import suppress

import cv2

from server.cluster.membership import Membership
from server.database.connection import open_database
from server.engines.base import Engine
from server.engines.info import PlanStatus
from server.errors import MastreamError, NoCapacity
from server.metrics import Metrics
from server.plans.upgrade import BuildTools
from server.scheduling.capacity import Capacity
from server.service.folder_lock import FolderLock
from server.service.heartbeat import measure_lateness
from server.service.loaded import Loaded, Render, load
from server.service.parts import make_parts
from server.service.readiness import Condition, reasons
from server.settings import Settings
from server.sources import open_hardware, open_sandbox
from server.sources.hardware import Hardware
from server.videos.jobs import Jobs
from server.videos.service import VideoService
from server.videos.uploads import Uploads
from server.web.live.service import LiveService
from server.workers.worker import WorkerState

STOP_SECONDS = 1.0
DRAIN_SHARE = 0.75
"""The share of the drain time after which everything that has not ended by itself is cut off."""

_log = logging.getLogger(__name__)


class Service:
    """Mutable state: the GPU that decodes, if any; the parts that have started, with the tasks that
    load them and measure the event loop; and whether the service is about to stop.
    """

    def __init__(
        self,
        settings: Settings,
        makers: Sequence[Callable[[], Engine]],
        build_tools: BuildTools | None = None,
    ) -> None:
        """Prepare the service; each of ``makers`` makes one engine, for the first device and for
        each further GPU."""
        self.settings = settings
        self.started = time.monotonic()
        self.draining = False
        self.render: Render = lambda _: b""
        self._hardware: Hardware | None = None
        self._loaded = Loaded()
        self.parts = make_parts(
            settings, makers, build_tools, lambda: self._hardware, self._loaded.elsewhere
        )
        self._lock = FolderLock(settings.folder)
        self._loading: asyncio.Task[None] | None = None
        self._measuring: asyncio.Task[None] | None = None

    @property
    def metrics(self) -> Metrics:
        """Return the numbers for Prometheus."""
        return self.parts.metrics

    @property
    def jobs(self) -> Jobs:
        """Return the queue of videos. Raises NoCapacity until the model is loaded."""
        return self.videos.jobs

    @property
    def uploads(self) -> Uploads:
        """Return the uploads in parts. Raises NoCapacity until the model is loaded."""
        return self.videos.uploads

    @property
    def videos(self) -> VideoService:
        """Return the parts for videos. Raises NoCapacity until the model is loaded."""
        self.check_loaded()
        assert self._loaded.videos, "the model was loaded without the videos"
        return self._loaded.videos

    @property
    def live(self) -> LiveService:
        """Return the pulled streams. Raises NoCapacity until the model is loaded."""
        self.check_loaded()
        assert self._loaded.live, "the model was loaded without the pulled streams"
        return self._loaded.live

    @property
    def pulled_streams(self) -> LiveService | None:
        """Return the pulled streams, None until they have started."""
        return self._loaded.live

    @property
    def membership(self) -> Membership:
        """Return this server's membership in the cluster. Raises NoCapacity until the model is
        loaded."""
        self.check_loaded()
        assert self._loaded.membership, "the model was loaded without the membership"
        return self._loaded.membership

    @property
    def is_loaded(self) -> bool:
        """Return whether the model is loaded and work is accepted."""
        return self._loaded.is_complete

    def plan(self) -> PlanStatus:
        """Return the state of the TensorRT plan."""
        return self.parts.upgrade.status

    def capacities(self, now: float) -> list[Capacity]:
        """Return the capacity of each engine."""
        return [worker.capacity(now) for worker in self.parts.worker.workers]

    def check_loaded(self) -> None:
        """Raise NoCapacity until the model is loaded."""
        if not self.is_loaded:
            raise NoCapacity("The model is still being loaded; try again in a moment.")

    def begin(self) -> None:
        """Start loading; :meth:`loaded` waits for it."""
        # A pool decodes pictures in parallel already; OpenCV's own threads would compete with it.
        cv2.setNumThreads(1)
        self._loading = asyncio.create_task(self._load())
        self._loading.add_done_callback(_retrieve)
        self._measuring = asyncio.create_task(measure_lateness(self._note_lateness))

    async def loaded(self) -> None:
        """Wait until work is accepted. Raises the error that kept the service from starting."""
        assert self._loading, "the service was not begun"
        await asyncio.shield(self._loading)

    def reasons(self) -> list[str]:
        """Return the reasons for not being ready; empty if ready."""
        worker, database = self.parts.worker, self._loaded.database
        return reasons(
            Condition(
                is_draining=self.draining,
                is_loaded=self.is_loaded,
                serves=worker.ready or worker.state is not WorkerState.SERVING,
                database_answers=database is None or database.answers,
                step_age=worker.last_step_age(time.monotonic()),
            )
        )

    async def drain(self) -> None:
        """Accept nothing new; return when all accepted work is answered, or time is up.

        Running videos go back into the queue for the next start.
        """
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SHARE * self.settings.drain_seconds):
                await asyncio.gather(
                    self.parts.streams.drain(), self._loaded.drain(), self.parts.upgrade.stop()
                )

    async def end(self) -> None:
        """Stop and free everything. Idempotent."""
        if self._loading:
            self._loading.cancel()
        if self._measuring:
            self._measuring.cancel()
        parts = self.parts
        await parts.upgrade.stop()
        await self._loaded.stop()
        await parts.worker.stop(STOP_SECONDS)
        await asyncio.to_thread(parts.recordings.close, STOP_SECONDS)
        parts.resuming.stop()
        parts.pool.close()
        await parts.keyring.close()
        if parts.tracing:
            await asyncio.to_thread(parts.tracing.close)
        self._loaded.close()
        self._lock.release()

    def _note_lateness(self, late: float, now: float) -> None:
        self.metrics.event_loop_late(late)
        self.parts.fair_pace.observe(late, now)

    async def _load(self) -> None:
        await asyncio.to_thread(self._lock.take)
        self._hardware = await asyncio.to_thread(open_hardware, self.settings.decode)
        sandbox = await asyncio.to_thread(open_sandbox, self.settings.decode)
        database = await asyncio.to_thread(open_database, self.settings)
        await load(
            self._loaded,
            database,
            self.parts,
            self.settings,
            self._hardware,
            sandbox,
            self.render,
        )
        self.parts.upgrade.begin()


def _retrieve(task: asyncio.Task[None]) -> None:
    """Log a failure at once, even if nobody waits for the task."""
    if not task.cancelled() and (error := task.exception()):
        foreign = None if isinstance(error, MastreamError) else error
        _log.error("the service cannot start: %s", error, exc_info=foreign)
