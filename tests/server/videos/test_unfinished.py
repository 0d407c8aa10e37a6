"""Viewers of an overlay that grows receive all of it, however slow they are, and then its end."""

from __future__ import annotations

import asyncio
import shutil
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import pytest
from own_rows import OwnRows

from server.database.connection import sqlite_url
from server.database.video_record import VideoRecord, VideoState
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineFault
from server.frame import Pixels
from server.settings import VideoSettings
from server.videos.jobs import Jobs
from server.videos.unfinished import OVERLAY, growing_overlay
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

FRAMES, PIECE = 400, 80
MakeClip = Callable[..., Path]


class Valve:
    """Lets the engine take so many frames, and more when it is opened further."""

    def __init__(self) -> None:
        self._taken = self._allowed = 0
        self._changed = threading.Condition()
        self.error: Exception | None = None

    def __call__(self, frames: Sequence[Pixels]) -> None:
        with self._changed:
            self._taken += len(frames)
            assert self._changed.wait_for(lambda: self._taken <= self._allowed, 30), "kept shut"
        if self.error:
            raise self.error

    def open(self, frames: int) -> None:
        with self._changed:
            self._allowed = frames
            self._changed.notify_all()


@asynccontextmanager
async def running(folder: Path, lanes: int, valve: Valve) -> AsyncIterator[Jobs]:
    worker = Worker(lambda: FakeEngine(fake_spec(48, 64), on_step=valve), backoff=0.001)
    await worker.start()
    store = OwnRows(sqlite_url(folder / "videos.db"))
    settings = VideoSettings(min_free_bytes=0, pause_free_bytes=0, piece_frames=PIECE, lanes=lanes)
    jobs = Jobs(worker, store, folder / "videos", settings)
    await jobs.start()
    try:
        yield jobs
    finally:
        valve.open(10**9)
        await jobs.stop()
        store.close()
        await worker.stop()


async def upload(jobs: Jobs, clip: Path) -> str:
    async with jobs.arrivals.place() as (video, path):
        shutil.copy(clip, path)
        info = await jobs.arrivals.probe(path)
        record = VideoRecord(video, "clip.mp4", jobs.model, 1, info, (OVERLAY, "masks.mkv"), "f")
        await jobs.arrivals.add(record)
    return video


async def done(jobs: Jobs, video: str, frames: int) -> None:
    async for now in jobs.watch(video, None):
        if now.progress.frames_done >= frames:
            return
    raise AssertionError(f"it ended before: {await jobs.find(video)}")


async def end_of(jobs: Jobs, video: str) -> VideoState:
    async for now in jobs.watch(video, None):
        state = now.record.state
    return state


class Viewer:
    """Receives the first bytes of an overlay, and the rest when it is told to."""

    def __init__(self, jobs: Jobs, video: str) -> None:
        self._bytes = growing_overlay(jobs, video)
        self.seen = b""

    async def begin(self) -> None:
        async with asyncio.timeout(30):
            self.seen += await anext(self._bytes)

    async def rest(self) -> None:
        async with asyncio.timeout(30):
            async for data in self._bytes:
                self.seen += data


def times(data: bytes) -> list[Fraction | None]:
    with av.open(BytesIO(data)) as container:
        return [
            None if frame.pts is None else frame.pts * frame.time_base
            for frame in container.decode(video=0)
        ]


@pytest.mark.parametrize("lanes", [1, 4])
async def test_viewers_that_wait_for_the_end_of_the_video_receive_all_of_it(
    tmp_path: Path, make_clip: MakeClip, lanes: int
) -> None:
    valve = Valve()
    async with running(tmp_path, lanes, valve) as jobs:
        video = await upload(jobs, make_clip(tmp_path / "clip.mp4", FRAMES, keys=PIECE))
        viewers = []
        for frames in (280, 320, 360):
            valve.open(frames)
            await done(jobs, video, frames // 2)
            viewers.append(Viewer(jobs, video))
            await viewers[-1].begin()
        valve.open(10**9)
        assert await end_of(jobs, video) is VideoState.SUCCEEDED
        _, finished = await jobs.outputs.artefact(video, OVERLAY)
        assert isinstance(finished, Path)
        expected = times(finished.read_bytes())
        assert len(expected) == FRAMES
        for viewer in viewers:
            assert jobs.files.pieces(video).exists(), "the pieces wait for their viewers"
            await viewer.rest()
            assert viewer.seen.count(b"ftyp") == 1
            assert times(viewer.seen) == expected
        assert not jobs.files.pieces(video).exists()
        assert [data async for data in growing_overlay(jobs, video)] == []


@pytest.mark.parametrize("lanes", [1, 4])
async def test_a_viewer_that_leaves_keeps_nothing(
    tmp_path: Path, make_clip: MakeClip, lanes: int
) -> None:
    valve = Valve()
    async with running(tmp_path, lanes, valve) as jobs:
        video = await upload(jobs, make_clip(tmp_path / "clip.mp4", FRAMES, keys=PIECE))
        valve.open(300)
        await done(jobs, video, 150)
        viewer = Viewer(jobs, video)
        await viewer.begin()
        await viewer._bytes.aclose()
        valve.open(10**9)
        assert await end_of(jobs, video) is VideoState.SUCCEEDED
        assert not jobs.files.pieces(video).exists()


@pytest.mark.parametrize("lanes", [1, 4])
@pytest.mark.parametrize("end", [VideoState.CANCELLED, VideoState.FAILED])
async def test_a_viewer_ends_with_a_video_that_does_not_succeed(
    tmp_path: Path, make_clip: MakeClip, lanes: int, end: VideoState
) -> None:
    valve = Valve()
    async with running(tmp_path, lanes, valve) as jobs:
        video = await upload(jobs, make_clip(tmp_path / "clip.mp4", FRAMES, keys=PIECE))
        valve.open(300)
        await done(jobs, video, 150)
        viewer = Viewer(jobs, video)
        await viewer.begin()
        if end is VideoState.FAILED:
            valve.error = EngineFault("No engine can take this picture.")
            valve.open(10**9)
        else:
            valve.open(10**9)
            await jobs.delete(video)
        assert await end_of(jobs, video) is end
        await viewer.rest()
        assert not jobs.files.upload(video).parent.exists()
