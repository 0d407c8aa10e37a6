"""All running parts of the service, and the order in which they begin and end."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial

import cv2

from server.admission import Limit, Pace, Places, Rate
from server.database.connection import Database, open_database
from server.database.keys import KeyRows
from server.database.streams import StreamRows
from server.database.watching import watch
from server.dialling.dial import Guard
from server.engines.base import Engine
from server.engines.info import PlanStatus
from server.errors import MastreamError, NoCapacity
from server.metrics import Metrics
from server.plans.upgrade import BuildTools, Upgrade
from server.recordings.folder import Recordings
from server.scheduling.capacity import Capacity
from server.security.addresses import address_rules
from server.security.exposure import Access, access, check_keys_exist
from server.security.sealing import Seal
from server.security.secret import server_secret
from server.settings import Settings
from server.sources import open_hardware
from server.sources.hardware import Hardware
from server.streams.byte_budget import ByteBudget
from server.streams.resuming import Resuming
from server.threads import PicturePool
from server.videos.jobs import Jobs
from server.videos.progress import Video
from server.videos.service import VideoService, video_service
from server.videos.uploads import Uploads
from server.web.keyring import Keyring
from server.web.live_service import LiveService, live_service
from server.web.stream_services import StreamServices
from server.web.streams import Streams
from server.workers.fleet import Fleet
from server.workers.worker import Worker, WorkerState

STALE_STEP_SECONDS = 10.0
"""A step older than this, with work waiting, makes the service not ready."""

STOP_SECONDS = 1.0
DRAIN_SHARE = 0.75
"""The share of the drain time after which whatever has not ended by itself is cut off."""

_log = logging.getLogger(__name__)


class Service:
    """Mutable state: the GPU that decodes, if any; the database with the task that watches it; the
    videos and the pulled streams, once the model is loaded; the task that loads it; and whether
    the service is about to stop.
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
        self.metrics = Metrics()
        self.access = access(settings.host, settings.security)
        self.keyring = _keyring(settings, self.access)
        self._seal = Seal(partial(server_secret, settings.folder, settings.security))
        is_local = self.access is Access.LOCAL
        live = settings.live
        self._guard = Guard(address_rules(live.networks, live.hosts, is_local=is_local))
        most = settings.streams.max_sessions
        workers = [
            Worker(
                make,
                max_sessions=most,
                step_deadline=settings.engine.step_deadline,
                background_share=settings.videos.share,
                metrics=self.metrics,
            )
            for make in makers
        ]
        limits = settings.limits
        self.worker = Fleet(workers, max_sessions=most, key_sessions=limits.key_sessions)
        self.uploading = Places(Limit("uploads", limits.key_uploads, limits.uploads))
        self._upgrade = Upgrade(self.worker, settings.engine, build_tools)
        self.metrics.watch_plan(self.plan)
        self.pool = PicturePool(os.cpu_count() or 1)
        self.recordings = Recordings(
            settings.folder / "recordings",
            settings.streams,
            on_bytes=self.metrics.recorded,
            on_end=self.metrics.recording_ended,
        )
        self.metrics.watch_recordings(lambda: self.recordings.running)
        budget = ByteBudget(settings.streams.total_bytes, lambda: self.recordings.waiting_bytes)
        self.metrics.watch_held(lambda: budget.total)
        self.budget = budget
        self.started = time.monotonic()
        self._resuming = Resuming(self.worker, settings.streams, self.metrics)
        self.worker.make_room = self._resuming.make_room
        self.streams = Streams(
            StreamServices(
                self.worker,
                self.pool,
                self.metrics,
                settings.streams,
                budget,
                lambda: self._hardware,
                self.recordings,
                Rate("pixels", limits.key_pixels_per_second, limits.pixels_per_second),
                Pace(limits.key_bytes_per_second),
                self._resuming,
            )
        )
        self._hardware: Hardware | None = None
        self.draining = False
        self.render: Callable[[Video], bytes] = lambda _: b""
        """Returns the JSON that is sent to those who are called."""
        self._videos: VideoService | None = None
        self._live: LiveService | None = None
        self._database: Database | None = None
        self._watching: asyncio.Task[None] | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def jobs(self) -> Jobs:
        """Return the queue of videos. Raises NoCapacity until the model is loaded."""
        return self._loaded_videos().jobs

    @property
    def uploads(self) -> Uploads:
        """Return the uploads in parts. Raises NoCapacity until the model is loaded."""
        return self._loaded_videos().uploads

    @property
    def live(self) -> LiveService:
        """Return the pulled streams. Raises NoCapacity until the model is loaded."""
        self.check_loaded()
        assert self._live, "the model was loaded without the pulled streams"
        return self._live

    def plan(self) -> PlanStatus:
        """Return the state of the TensorRT plan."""
        return self._upgrade.status

    @property
    def is_loaded(self) -> bool:
        """Return whether the model is loaded and work is accepted."""
        return self._videos is not None

    @property
    def pulled_streams(self) -> LiveService | None:
        """Return the pulled streams, or None until the model is loaded."""
        return self._live

    def capacities(self, now: float) -> list[Capacity]:
        """Return what each engine can do."""
        return [worker.capacity(now) for worker in self.worker.workers]

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

    async def loaded(self) -> None:
        """Wait until work is accepted. Raises what kept the service from starting."""
        assert self._loading, "the service was not begun"
        await asyncio.shield(self._loading)

    def reasons(self) -> list[str]:
        """Return the reasons for not being ready; empty if ready."""
        age = self.worker.last_step_age(time.monotonic())
        known = {
            "the service is about to stop": self.draining,
            "the model is being loaded": not self.is_loaded and not self.draining,
            "the engine is being restarted": self.is_loaded and not self._serves(),
            "the database does not answer": self._database is not None
            and not self._database.answers,
            f"the engine's step has lasted {age:.0f} s": age > STALE_STEP_SECONDS,
        }
        return [reason for reason, holds in known.items() if holds]

    async def drain(self) -> None:
        """Accept nothing new; return when all that was accepted is answered, or time is up.

        Running videos go back into the queue for the next start.
        """
        self.draining = True
        with suppress(TimeoutError):
            async with asyncio.timeout(DRAIN_SHARE * self.settings.drain_seconds):
                await asyncio.gather(
                    self.streams.drain(),
                    self._drain_live(),
                    self._drain_videos(),
                    self._upgrade.stop(),
                )

    async def end(self) -> None:
        """Stop and free everything. Idempotent."""
        if self._loading:
            self._loading.cancel()
        await self._upgrade.stop()
        if self._live:
            await self._live.streams.stop()
        if self._videos:
            await self._videos.stop()
        await self.worker.stop(STOP_SECONDS)
        await asyncio.to_thread(self.recordings.close, STOP_SECONDS)
        self._resuming.stop()
        self.pool.close()
        await self.keyring.close()
        if self._watching:
            self._watching.cancel()
        if self._database:
            self._database.close()

    async def _load(self) -> None:
        self._hardware = await asyncio.to_thread(open_hardware, self.settings.decode)
        self._database = await asyncio.to_thread(open_database, self.settings)
        await self._open_keyring(KeyRows(self._database))
        await self.worker.start()
        for built in self.worker.engines:
            failed = ", ".join(built.passed_over) or "nothing"
            _log.info("%s on %s serves; passed over: %s", built.provider, built.device, failed)
        videos = video_service(
            self.worker,
            self._database,
            self.metrics,
            self.settings,
            self._hardware,
            self._guard,
            self.render,
        )
        await videos.start()
        self._live = live_service(
            self.worker,
            StreamRows(self._database, self._seal),
            self.pool,
            self.metrics,
            self.settings,
            self._hardware,
            self.recordings,
            self._guard,
        )
        await self._live.streams.start()
        self._watching = asyncio.create_task(watch(self._database))
        self._videos = videos
        self._upgrade.begin()

    async def _open_keyring(self, rows: KeyRows) -> None:
        """Use the stored keys. Raises BadRequest if one is required and there is none."""
        self.keyring.use(rows)
        count = await asyncio.to_thread(rows.count_valid)
        check_keys_exist(self.access, count, self.settings.host)
        if self.access is Access.OPEN:
            _log.warning("MASTREAM_SECURITY__OPEN is set: whoever can connect may do everything")

    async def _drain_live(self) -> None:
        if self._live:
            await self._live.streams.drain()

    async def _drain_videos(self) -> None:
        if self._videos:
            await self._videos.drain()

    def _loaded_videos(self) -> VideoService:
        self.check_loaded()
        assert self._videos, "the model was loaded without the videos"
        return self._videos

    def _serves(self) -> bool:
        return self.worker.ready or self.worker.state is not WorkerState.SERVING


def _keyring(settings: Settings, who: Access) -> Keyring:
    """Return the keyring, still without rows. Its secret is made only if keys are required."""
    is_used = who is Access.KEYS
    pepper = server_secret(settings.folder, settings.security) if is_used else b""
    return Keyring(pepper, settings.security.session_seconds)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Log a failure at once, even if nobody waits for the task."""
    if not task.cancelled() and (error := task.exception()):
        foreign = None if isinstance(error, MastreamError) else error
        _log.error("the service cannot start: %s", error, exc_info=foreign)
