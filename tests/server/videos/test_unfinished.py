"""Viewers of an overlay that grows receive all of it, however slow they are, and then its end."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction
from io import BytesIO
from pathlib import Path

import av
import pytest
from jobs_at_work import MakeClip, ended, serving, until, upload

from server.database.video_record import VideoState
from server.errors import EngineFault
from server.frame import Pixels
from server.videos.jobs import Jobs
from server.videos.unfinished import OVERLAY, growing_overlay

pytestmark = pytest.mark.anyio

FRAMES, PIECE = 400, 80


class Valve:
    """Lets the engine take this many frames, and more when it is opened further."""

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
async def watched(
    folder: Path, lanes: int, make_clip: MakeClip
) -> AsyncIterator[tuple[Jobs, str, Valve]]:
    """A video that is segmented as far as the valve allows."""
    valve = Valve()
    clip = make_clip(folder / "clip.mp4", FRAMES, keys=PIECE)
    async with serving(folder, on_step=valve, piece_frames=PIECE, lanes=lanes) as jobs:
        try:
            yield jobs, await upload(jobs, clip, (OVERLAY, "masks.mkv")), valve
        finally:
            valve.open(10**9)


async def done(jobs: Jobs, video: str, frames: int) -> None:
    await until(jobs, video, lambda now: now.progress.frames_done >= frames)


async def end_of(jobs: Jobs, video: str) -> VideoState:
    return (await ended(jobs, video)).record.state


class Viewer:
    """Receives the first bytes of an overlay, and the rest on request."""

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
    async with watched(tmp_path, lanes, make_clip) as (jobs, video, valve):
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
    async with watched(tmp_path, lanes, make_clip) as (jobs, video, valve):
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
    async with watched(tmp_path, lanes, make_clip) as (jobs, video, valve):
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
