"""The service, assembled: the only place that connects all its parts."""

from __future__ import annotations

import asyncio
import logging
import os
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from functools import partial
from importlib.metadata import version
from typing import Any

import cv2
from fastapi import APIRouter, Depends, FastAPI, Request

from server.admission import Limit, Places, Rate
from server.database.connection import Database, open_database
from server.database.keys import KeyRows
from server.database.streams import StreamRows
from server.database.video_record import ACTIVE, VideoState
from server.database.videos import VideoRows
from server.database.watching import watch
from server.dialling.dial import Guard
from server.engines import each_device, make_engine
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
from server.videos.chores import chores
from server.videos.jobs import Jobs
from server.videos.progress import Video
from server.videos.storage import Storage
from server.videos.uploads import Uploads
from server.web import live, problems, sources, uploads, videos
from server.web.about import ServerFacts, about_router
from server.web.auth import Gate
from server.web.capacity import LimitFacts, capacity_router
from server.web.health import health_router
from server.web.keyring import Keyring
from server.web.keys import keys_router
from server.web.limit_facts import limit_facts
from server.web.live_service import LiveService, live_service
from server.web.methods import heads_of
from server.web.models import models_router
from server.web.page import page_router, read_page
from server.web.recordings import recordings_router
from server.web.reference import reference_router
from server.web.request_log import RequestLog
from server.web.stream_services import StreamServices
from server.web.streams import Streams, stream_router
from server.web.video_json import video_json
from server.workers.fleet import Fleet
from server.workers.worker import Worker, WorkerState

VERSION = version("mastream")
SUMMARY = "Real-time video segmentation with a memory for every stream"
DESCRIPTION = """
Frames go in by WebSocket at `GET /v1/stream` (sub-protocol `mastream.v1`) or as an uploaded
video; masks come out. Every error is an `application/problem+json` with a stable `code`.
"""

STALE_STEP_SECONDS = 10.0
"""A step older than this, with work waiting, makes the service not ready."""

STOP_SECONDS = 1.0
DRAIN_SHARE = 0.75
"""The share of the drain time after which whatever has not ended by itself is cut off."""

_log = logging.getLogger(__name__)


def create_app(
    settings: Settings,
    make: Callable[[], Engine] | None = None,
    build_tools: BuildTools | None = None,
) -> FastAPI:
    """Return the application.

    ``make`` overrides the configured engine and ``build_tools`` what TensorRT plans are built
    with (for tests).

    It responds as soon as its lifespan has begun; until the model is loaded, work is refused with
    ``no_capacity``. ``app.state.service`` is its Service.
    """
    makers = [make] if make else [partial(make_engine, e) for e in each_device(settings.engine)]
    service = Service(settings, makers, build_tools)
    app = FastAPI(
        title="mastream",
        version=VERSION,
        summary=SUMMARY,
        description=DESCRIPTION,
        docs_url=None,
        redoc_url=None,
        lifespan=_lifespan,
    )
    app.state.service = service
    service.render = video_json(app)
    problems.install(app, service.metrics.rejected)
    once_loaded = [Depends(_provide_jobs)]
    health = health_router(service.reasons, service.metrics, service.access)
    models = models_router(service.worker, service.plan)
    routers: tuple[tuple[APIRouter, list[Any]], ...] = (
        (health, []),
        (models, once_loaded),
        (videos.router, once_loaded),
        (uploads.router, once_loaded),
        (live.router, []),
        (sources.router, []),
        (about_router(service.facts()), []),
        (capacity_router(service.capacities, service.limit_facts()), []),
        (recordings_router(service.recordings), []),
        (keys_router(service.keyring, service.access), []),
        (page_router(read_page()), []),
        (reference_router(app.openapi), []),
    )
    for router, needs in routers:
        app.include_router(router, dependencies=needs)
        app.include_router(heads_of(router), dependencies=needs)
    app.include_router(stream_router(service.streams))
    app.add_middleware(
        Gate,
        who=service.access,
        security=settings.security,
        keyring=service.keyring,
        rejected=service.metrics.rejected,
    )
    app.add_middleware(RequestLog)
    return app


@asynccontextmanager
async def _lifespan(app: FastAPI) -> AsyncIterator[None]:
    service: Service = app.state.service
    service.begin()
    try:
        yield
    finally:
        await service.end()


def _provide_jobs(request: Request) -> None:
    """Provide the queue of videos and the uploads to their routes. Raises NoCapacity until the
    model is loaded."""
    request.app.state.jobs = request.app.state.service.jobs
    request.app.state.uploads = request.app.state.service.uploads


class Service:
    """All running parts, and the order in which they begin and end.

    Mutable state: the GPU that decodes, if any, the queue of videos and the database, once the
    model is loaded; the task that loads it; and whether the service is about to stop.
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
        self._budget = budget
        self._started = time.monotonic()
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
                self._resuming,
            )
        )
        self._hardware: Hardware | None = None
        self.draining = False
        self.render: Callable[[Video], bytes] = lambda _: b""
        """Returns the JSON that is sent to those who are called."""
        self._jobs: Jobs | None = None
        self._uploads: Uploads | None = None
        self._chores: list[asyncio.Task[None]] = []
        self._live: LiveService | None = None
        self._database: Database | None = None
        self._loading: asyncio.Task[None] | None = None

    @property
    def jobs(self) -> Jobs:
        """Return the queue of videos. Raises NoCapacity until the model is loaded."""
        self.check_loaded()
        assert self._jobs, "the model was loaded without the queue"
        return self._jobs

    @property
    def uploads(self) -> Uploads:
        """Return the uploads in parts. Raises NoCapacity until the model is loaded."""
        self.check_loaded()
        assert self._uploads, "the model was loaded without the uploads"
        return self._uploads

    @property
    def live(self) -> LiveService:
        """The pulled streams. Raises NoCapacity until the model is loaded."""
        self.check_loaded()
        assert self._live, "the model was loaded without the pulled streams"
        return self._live

    def facts(self) -> ServerFacts:
        """Return where the numbers about this service come from."""
        return ServerFacts(
            settings=self.settings,
            version=VERSION,
            uptime=lambda: time.monotonic() - self._started,
            reasons=self.reasons,
            sessions=lambda: sum(worker.sessions for worker in self.worker.workers),
            streams=lambda: len(self._live.streams) if self._live else 0,
            videos=lambda: self.metrics.jobs(*ACTIVE),
            held_bytes=lambda: self._budget.total,
            masks=lambda: self.metrics.masks,
        )

    def capacities(self, now: float) -> list[Capacity]:
        """Return what each engine can do."""
        return [worker.capacity(now) for worker in self.worker.workers]

    def limit_facts(self) -> dict[str, LimitFacts]:
        """Return the limits of admission, and where their counts come from."""
        return limit_facts(
            self.settings,
            self.worker,
            lambda: self._live,
            self.uploading,
            lambda: self.metrics.jobs(*ACTIVE),
            lambda: self._budget.total,
        )

    def plan(self) -> PlanStatus:
        """Return the state of the TensorRT plan."""
        return self._upgrade.status

    def check_loaded(self) -> None:
        """Raise NoCapacity until the model is loaded."""
        if self._jobs is None:
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
            "the model is being loaded": self._jobs is None and not self.draining,
            "the engine is being restarted": self._jobs is not None and not self._serves(),
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
                    self._put_jobs_back(),
                    self._upgrade.stop(),
                )

    async def end(self) -> None:
        """Stop and free everything. Idempotent."""
        if self._loading:
            self._loading.cancel()
        await self._upgrade.stop()
        if self._live:
            await self._live.streams.stop()
        for chore in self._chores:
            chore.cancel()
        await asyncio.gather(*self._chores, return_exceptions=True)
        if self._jobs:
            await self._jobs.stop()
        await self.worker.stop(STOP_SECONDS)
        await asyncio.to_thread(self.recordings.close, STOP_SECONDS)
        self._resuming.stop()
        self.pool.close()
        await self.keyring.close()
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
        rows = VideoRows(self._database)
        for state in VideoState:
            self.metrics.watch_jobs(state, partial(rows.count, state))
        storage = await asyncio.to_thread(_open_storage, self.settings.videos.storage)
        jobs = Jobs(
            self.worker,
            rows,
            self.settings.folder / "videos",
            self.settings.videos,
            hardware=self._hardware,
            storage=storage,
            most_of_one=self.settings.limits.key_jobs,
        )
        await jobs.start()
        self._uploads = Uploads(jobs, jobs.files, jobs.disk, self.settings.videos, time.time)
        given = self.render, self.settings.videos, self._guard
        running = chores(jobs, self._uploads, storage, *given)
        self._chores = [asyncio.create_task(chore) for chore in (*running, watch(self._database))]
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
        self._jobs = jobs
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

    async def _put_jobs_back(self) -> None:
        if self._uploads:
            self._uploads.drain()
        if self._jobs:
            await self._jobs.drain()

    def _serves(self) -> bool:
        return self.worker.ready or self.worker.state is not WorkerState.SERVING


def _keyring(settings: Settings, who: Access) -> Keyring:
    """Return the keyring, still without rows. Its secret is made only if keys are required."""
    is_used = who is Access.KEYS
    pepper = server_secret(settings.folder, settings.security) if is_used else b""
    return Keyring(pepper, settings.security.session_seconds)


def _open_storage(url: str | None) -> Storage | None:
    return None if url is None else Storage(url)


def _retrieve(task: asyncio.Task[None]) -> None:
    """Log a failure at once, even if nobody waits for the task."""
    if not task.cancelled() and (error := task.exception()):
        foreign = None if isinstance(error, MastreamError) else error
        _log.error("the service cannot start: %s", error, exc_info=foreign)
