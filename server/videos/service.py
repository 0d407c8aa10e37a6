"""Uploaded videos as the service runs them: the queue, the uploads in parts, and the chores."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from server.database.connection import Database
from server.database.video_record import VideoState
from server.database.videos import VideoRows
from server.dialling.dial import Guard
from server.metrics import Metrics
from server.security.sealing import Seal
from server.settings import Settings
from server.sources.hardware import Hardware
from server.sources.sandbox.decoder import Sandbox
from server.videos.chores import Chore, chores
from server.videos.jobs import Jobs
from server.videos.progress import Video
from server.videos.storage import Storage
from server.videos.uploads import Uploads
from server.workers.serving import Serving

if TYPE_CHECKING:
    from server.telemetry.tracing import Tracing


class VideoService:
    """Mutable state: the tasks of the chores, while it runs."""

    def __init__(
        self, jobs: Jobs, uploads: Uploads, make_chores: Callable[[], list[Chore]]
    ) -> None:
        self.jobs = jobs
        self.uploads = uploads
        self.chores: list[asyncio.Task[None]] = []
        self._make_chores = make_chores

    async def start(self) -> None:
        """Queue again the videos that a dead process left running, and start."""
        await self.jobs.start()
        self.chores = [asyncio.create_task(chore) for chore in self._make_chores()]

    async def drain(self) -> None:
        """Accept no more bytes and start no more videos; put running ones back into the queue.
        Idempotent."""
        self.uploads.drain()
        await self.jobs.drain()

    async def stop(self) -> None:
        """End the chores, drain, and end the threads. Idempotent."""
        for chore in self.chores:
            chore.cancel()
        await asyncio.gather(*self.chores, return_exceptions=True)
        await self.jobs.stop()


def video_service(
    worker: Serving,
    database: Database,
    metrics: Metrics,
    settings: Settings,
    hardware: Hardware | None,
    sandbox: Sandbox | None,
    guard: Guard,
    seal: Seal,
    render: Callable[[Video], bytes],
    server: str,
    folder: str,
    tracing: Tracing | None = None,
) -> VideoService:
    """Return the service of videos, which must still be started, and add its videos to the metrics.

    ``sandbox`` is where they are decoded, if not here; ``render`` returns the JSON that callbacks
    send; ``guard`` decides which addresses may be called, and ``seal`` seals them for storage;
    ``server`` is this server's name, and ``folder`` that of the folder with its videos. Raises
    Fault if the storage cannot be used.
    """
    rows = VideoRows(database, seal, server, folder)
    chosen = settings.videos
    storage = None if chosen.storage is None else Storage(chosen.storage)
    jobs = Jobs(
        worker,
        rows,
        (chosen.folder or settings.folder) / "videos",
        chosen,
        hardware=None if sandbox else hardware,
        sandbox=sandbox,
        storage=storage,
        most_of_one=settings.limits.key_jobs,
        tracing=tracing,
        on_piece=metrics.piece,
        on_taken=partial(metrics.taken_over, "piece"),
    )
    metrics.watch_jobs(
        folder,
        {state.value: partial(rows.count, state) for state in VideoState},
        jobs.files.pieces_held,
    )
    uploads = Uploads(jobs, jobs.files, jobs.disk, chosen, time.time)
    return VideoService(
        jobs, uploads, partial(chores, jobs, uploads, storage, render, chosen, guard)
    )
