"""The queue of videos at work with the fake engine, without a web server."""

from __future__ import annotations

import shutil
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from own_rows import OwnRows

from server.database.connection import sqlite_url
from server.database.video_record import VideoRecord
from server.engines.fake import FakeEngine, fake_spec
from server.frame import Pixels
from server.settings import VideoSettings
from server.sinks.recorder import ARTEFACTS
from server.videos.jobs import Jobs
from server.videos.progress import Video
from server.workers.worker import Worker

SPEC = fake_spec(48, 64)
OnStep = Callable[[Sequence[Pixels]], None]
MakeClip = Callable[..., Path]


@asynccontextmanager
async def serving(
    folder: Path,
    url: str | None = None,
    *,
    on_step: OnStep | None = None,
    max_sessions: int = 64,
    **settings: Any,
) -> AsyncIterator[Jobs]:
    """Jobs on a folder until the block is left; their rows are at ``url``, or in the folder.
    ``settings`` are those of videos."""
    engine = lambda: FakeEngine(SPEC, on_step=on_step)  # noqa: E731
    worker = Worker(engine, max_sessions=max_sessions, backoff=0.001)
    await worker.start()
    store = OwnRows(url or sqlite_url(folder / "videos.db"))
    free = {"min_free_bytes": 0, "pause_free_bytes": 0}
    jobs = Jobs(worker, store, folder / "videos", VideoSettings(**free, **settings))
    await jobs.start()
    try:
        yield jobs
    finally:
        await jobs.stop()
        store.close()
        await worker.stop()


async def upload(
    jobs: Jobs,
    clip: Path,
    artefacts: Sequence[str] = tuple(ARTEFACTS),
    key: str | None = None,
    fingerprint: str = "f",
) -> str:
    """Queue a copy of a clip; return its id."""
    async with jobs.arrivals.place() as (video, path):
        shutil.copy(clip, path)
        size, info = path.stat().st_size, await jobs.arrivals.probe(path)
        given = video, clip.name, jobs.model, size, info, tuple(artefacts), fingerprint
        await jobs.arrivals.add(VideoRecord(*given, key=key))
    return video


async def until(jobs: Jobs, video: str, met: Callable[[Video], bool]) -> Video:
    """Watch a video until it is as it should be; fail if it ends before."""
    async for now in jobs.watch(video, None):
        if met(now):
            return now
    raise AssertionError(f"never met; it is {await jobs.find(video)}")


async def ended(jobs: Jobs, video: str) -> Video:
    """Watch a video to its end."""
    return await until(jobs, video, lambda now: now.record.state.ended)
