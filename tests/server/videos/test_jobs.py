"""The queue of uploaded videos."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import threading
from collections import Counter
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest
from jobs_at_work import MakeClip, ended, serving, until, upload

from server.database.video_record import VideoState
from server.errors import Conflict, EngineFault, Fault, NoCapacity, NotFound
from server.frame import Labels, Pixels
from server.sinks.encoding import OverlayVideo
from server.sinks.recorder import ARTEFACTS
from server.videos import disk_space
from server.videos import runner as lanes
from server.videos.durable_ledger import MAX_FAILURES
from server.videos.files import VideoFiles
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

ROOT = Path(__file__).resolve().parents[3]


def files(folder: Path) -> set[str]:
    """The content of the videos' folder."""
    videos = folder / "videos"
    return {str(p.relative_to(videos)) for p in videos.rglob("*") if p.is_file()}


def masks(path: Path) -> list[Labels]:
    with av.open(path) as container:
        return [frame.to_ndarray().astype(np.uint8) for frame in container.decode(video=0)]


class Gate:
    """Holds the engine in the step of this number until it is opened."""

    def __init__(self, step: int) -> None:
        self._steps = iter(range(step))
        self._reached = threading.Event()
        self._open = threading.Event()

    def __call__(self, _: Sequence[Pixels]) -> None:
        if next(self._steps, None) is None:
            self._reached.set()
            assert self._open.wait(30), "nobody opened the gate"

    async def reached(self) -> None:
        assert await asyncio.to_thread(self._reached.wait, 30), "no step came so far"

    def open(self) -> None:
        self._open.set()


async def test_a_video_is_queued_segmented_and_kept(tmp_path: Path, make_clip: MakeClip) -> None:
    clip = make_clip(tmp_path / "clip.mp4")

    async with serving(tmp_path) as jobs:
        video = await upload(jobs, clip)
        done = await ended(jobs, video)
        assert done.record.state is VideoState.SUCCEEDED
        assert (done.progress.frames_done, done.progress.frames_total) == (12, 12)
        assert done.record.started is not None
        assert done.record.ended is not None
        assert done.record.created <= done.record.started <= done.record.ended
        record, path = await jobs.outputs.artefact(video, "masks.mkv")
        assert record == done.record
        assert len(masks(path)) == 12
        assert files(tmp_path) == {
            f"{video}/upload",
            *(f"{video}/results.e2/{name}" for name in ARTEFACTS),
        }
        with pytest.raises(NotFound):
            await jobs.outputs.artefact(video, "else")


async def test_videos_run_oldest_first_and_one_by_one(tmp_path: Path, make_clip: MakeClip) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 5), Gate(2)

    async with serving(tmp_path, on_step=gate) as jobs:
        videos = [await upload(jobs, clip) for _ in range(3)]
        await gate.reached()
        states = [(await jobs.find(video)).record.state for video in videos]
        assert states == [VideoState.RUNNING, VideoState.QUEUED, VideoState.QUEUED]
        with pytest.raises(Conflict):
            await jobs.outputs.artefact(videos[0], "masks.mkv")
        gate.open()
        done = [await ended(jobs, video) for video in videos]
        order = [video.record.ended or 0 for video in done]
        assert order == sorted(order)


async def test_as_many_as_set_run_side_by_side_with_the_masks_of_each_alone(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clips = [make_clip(tmp_path / f"{n}.mp4", 6 + n, (64 + 16 * n, 48)) for n in range(3)]

    async def segmented(folder: Path, running: int) -> list[list[Labels]]:
        async with serving(folder, running=running) as jobs:
            videos = [await upload(jobs, clip) for clip in clips]
            for video in videos:
                assert (await ended(jobs, video)).record.state is VideoState.SUCCEEDED
            return [masks((await jobs.outputs.artefact(v, "masks.mkv"))[1]) for v in videos]

    for name in ("together", "alone"):
        (tmp_path / name).mkdir()
    together = await segmented(tmp_path / "together", 3)
    alone = await segmented(tmp_path / "alone", 1)
    for one, other in zip(together, alone, strict=True):
        np.testing.assert_array_equal(one, other)


@pytest.mark.parametrize("after", [0, 7])
async def test_a_running_video_is_cancelled_and_leaves_no_file(
    after: int, tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 20), Gate(after)

    async with serving(tmp_path, on_step=gate) as jobs:
        video, other = await upload(jobs, clip), await upload(jobs, clip)
        await gate.reached()
        await jobs.delete(video)
        assert (await jobs.find(video)).record.state is VideoState.CANCELLED
        assert not [name for name in files(tmp_path) if name.startswith(video)]
        gate.open()
        assert (await ended(jobs, other)).record.state is VideoState.SUCCEEDED
        await jobs.delete(video)
        with pytest.raises(NotFound):
            await jobs.find(video)
        await jobs.delete(other)
        assert list((tmp_path / "videos").iterdir()) == []


async def test_a_cancelled_video_keeps_the_frames_that_it_had_across_a_restart(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 20), Gate(7)

    async with serving(tmp_path, on_step=gate) as jobs:
        video = await upload(jobs, clip)
        await gate.reached()
        before = await until(jobs, video, lambda now: now.progress.frames_done == 7)
        assert before.progress.eta_s is not None
        await jobs.delete(video)
        cancelled = await jobs.find(video)
        assert (cancelled.progress.frames_done, cancelled.progress.frames_total) == (7, 20)
        assert cancelled.progress.eta_s is None
        gate.open()
    async with serving(tmp_path) as jobs:
        assert (await jobs.find(video)).progress == cancelled.progress


async def test_a_queued_video_is_cancelled_and_never_runs(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 3), Gate(1)

    async with serving(tmp_path, on_step=gate) as jobs:
        first, second, third = [await upload(jobs, clip) for _ in range(3)]
        await gate.reached()
        await jobs.delete(second)
        gate.open()
        assert (await ended(jobs, third)).record.state is VideoState.SUCCEEDED
        assert (await jobs.find(first)).record.state is VideoState.SUCCEEDED
        cancelled = await jobs.find(second)
        assert cancelled.record.state is VideoState.CANCELLED
        assert cancelled.record.attempts == 0


async def test_a_failing_video_says_why_and_harms_no_other(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 8)
    begun = Counter[bytes]()
    fails = True

    def on_step(frames: Sequence[Pixels]) -> None:
        picture = frames[0].tobytes()
        begun[picture] += 1
        if fails and list(begun).index(picture) == 4:
            raise EngineFault("the device is out of memory")

    async with serving(tmp_path, on_step=on_step) as jobs:
        bad = await upload(jobs, clip)
        failed = await ended(jobs, bad)
        fails = False
        good = await upload(jobs, clip)
        assert failed.record.state is VideoState.FAILED
        assert [begun[picture] for picture in list(begun)[:5]] == [MAX_FAILURES] * 5
        assert (failed.progress.frames_done, failed.progress.eta_s) == (4, None)
        assert failed.record.problem is not None
        assert failed.record.problem["code"] == "fault"
        detail = failed.record.problem["detail"]
        assert "Frame 4" in detail and "out of memory" in detail
        with pytest.raises(NotFound):
            await jobs.outputs.artefact(bad, "masks.mkv")
        assert (await ended(jobs, good)).record.state is VideoState.SUCCEEDED
        assert not [name for name in files(tmp_path) if name.startswith(bad)]


async def test_a_full_disk_pauses_a_video_and_says_so(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, add, full = make_clip(tmp_path / "clip.mp4", 8), OverlayVideo.add, iter([True])

    def fill(overlay: OverlayVideo, segmented: Any) -> None:
        if segmented.mask.frame.seq == 5 and next(full, False):
            raise OSError(28, "No space left on device")
        add(overlay, segmented)

    monkeypatch.setattr(OverlayVideo, "add", fill)
    monkeypatch.setattr(disk_space, "POLL_SECONDS", 3600.0)
    async with serving(tmp_path) as jobs:
        video = await upload(jobs, clip)
        waiting = await until(jobs, video, lambda now: now.paused is not None)
        assert waiting.record.state is VideoState.RUNNING
        await jobs.space.look()
        done = await ended(jobs, video)
        assert (done.record.state, done.paused) == (VideoState.SUCCEEDED, None)
        assert done.progress.frames_done == 8


async def test_a_mistake_of_ours_fails_the_video_alone(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)

    def broken(*_: Any) -> None:
        raise ZeroDivisionError("our mistake")

    async with serving(tmp_path) as jobs:
        with monkeypatch.context() as patched:
            patched.setattr(Worker, "offer", broken)
            failed = await ended(jobs, await upload(jobs, clip))
        assert failed.record.problem is not None
        assert "our mistake" not in failed.record.problem["detail"]
        good = await ended(jobs, await upload(jobs, clip))
        assert good.record.state is VideoState.SUCCEEDED


async def test_a_video_waits_for_a_session(tmp_path: Path, make_clip: MakeClip) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 3), Gate(1)

    async with serving(tmp_path, on_step=gate, max_sessions=1, running=2) as jobs:
        first, second = await upload(jobs, clip), await upload(jobs, clip)
        await gate.reached()
        gate.open()
        assert (await ended(jobs, first)).record.state is VideoState.SUCCEEDED
        assert (await ended(jobs, second)).record.state is VideoState.SUCCEEDED
        assert (await jobs.find(second)).record.attempts == 1


async def test_a_drained_video_goes_back_and_is_finished_by_the_next_start(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 20), Gate(7)

    async with serving(tmp_path, on_step=gate) as jobs:
        video = await upload(jobs, clip)
        await gate.reached()
        await jobs.drain()
        await jobs.drain()
        assert (await jobs.find(video)).record.state is VideoState.QUEUED
        assert files(tmp_path) == {f"{video}/upload"}
        with pytest.raises(NoCapacity):
            await jobs.arrivals.check_capacity(1, None)
        gate.open()

    async with serving(tmp_path) as jobs:
        done = await ended(jobs, video)
        assert done.record.state is VideoState.SUCCEEDED
        assert done.record.attempts == 1


DIES = """
import asyncio, sys, time
from pathlib import Path
from jobs_at_work import serving, upload, until

async def main(folder, clip):
    async with serving(folder, on_step=lambda _: time.sleep(0.01)) as jobs:
        video = await upload(jobs, clip)
        await until(jobs, video, lambda now: now.progress.frames_done >= 5)
        print(video, flush=True)
        await asyncio.Event().wait()

asyncio.run(main(Path(sys.argv[1]), Path(sys.argv[2])))
"""


async def test_a_video_whose_server_was_killed_is_finished_by_the_next(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    """SIGKILL in the middle; the artefacts are those of an unbroken run."""
    clip = make_clip(tmp_path / "clip.mp4", 60)
    broken, whole = tmp_path / "broken", tmp_path / "whole"
    broken.mkdir()
    whole.mkdir()
    with subprocess.Popen(
        [sys.executable, "-c", DIES, str(broken), str(clip)],
        cwd=ROOT,
        env=os.environ | {"PYTHONPATH": f"{ROOT}:{ROOT / 'tests' / 'support'}"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout is not None
        video = process.stdout.readline().strip()
        process.send_signal(signal.SIGKILL)
    assert f"{video}/upload" in files(broken)
    assert [name for name in files(broken) if name.endswith(".part")]
    (broken / "videos" / "orphan").mkdir()

    async def finished(folder: Path, video: str | None) -> Path:
        async with serving(folder) as jobs:
            video = video or await upload(jobs, clip)
            assert (await ended(jobs, video)).record.state is VideoState.SUCCEEDED
            results = (await jobs.outputs.artefact(video, "masks.mkv"))[1].parent
            assert files(folder) == {
                f"{video}/upload",
                *(f"{video}/{results.name}/{name}" for name in ARTEFACTS),
            }
            return results

    results = [await finished(broken, video), await finished(whole, None)]
    assert not (broken / "videos" / "orphan").exists()
    one, other = [masks(folder / "masks.mkv") for folder in results]
    assert len(one) == 60
    np.testing.assert_array_equal(one, other)
    one, other = [masks(folder / "overlay.mp4") for folder in results]
    np.testing.assert_array_equal(one, other)
    summaries = [json.loads((folder / "summary.json").read_text()) for folder in results]
    assert summaries[0]["frames"] == summaries[1]["frames"]
    zips = [(folder / "masks.zip").read_bytes() for folder in results]
    assert zips[0] == zips[1]


async def test_watching_reports_each_change_once_and_picks_up_where_it_was_left(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 10), Gate(3)

    async with serving(tmp_path, on_step=gate) as jobs:
        video = await upload(jobs, clip)
        await gate.reached()
        now = await until(jobs, video, lambda now: now.progress.frames_done == 3)
        gate.open()
        told = [change async for change in jobs.watch(video, now.version)]
        versions = [change.version for change in told]
        assert now.version not in versions
        assert len(set(versions)) == len(versions)
        assert told[-1].record.state is VideoState.SUCCEEDED
        assert [change async for change in jobs.watch(video, versions[-1])] == []


async def test_watching_ends_with_the_server_and_with_the_video(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip, gate = make_clip(tmp_path / "clip.mp4", 10), Gate(3)

    async with serving(tmp_path, on_step=gate) as jobs:

        async def last(video: str) -> VideoState | None:
            told = [now async for now in jobs.watch(video, None)]
            return told[-1].record.state if told else None

        video, other = await upload(jobs, clip), await upload(jobs, clip)
        await gate.reached()
        watching = [asyncio.create_task(last(one)) for one in (video, other)]
        await until(jobs, video, lambda now: now.record.state is VideoState.RUNNING)
        await jobs.delete(video)
        assert await watching[0] is VideoState.CANCELLED
        await jobs.drain()
        await watching[1]
        gate.open()


async def test_a_place_that_is_left_without_a_video_is_gone(tmp_path: Path) -> None:
    async with serving(tmp_path) as jobs:
        with pytest.raises(ValueError, match="bad"):
            async with jobs.arrivals.place() as (_, path):
                path.write_bytes(b"half")
                raise ValueError("bad upload")
        assert list((tmp_path / "videos").iterdir()) == []


async def test_a_key_gives_the_same_video_for_the_same_request_alone(
    tmp_path: Path, make_clip: MakeClip
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)

    async with serving(tmp_path) as jobs:
        video = await upload(jobs, clip, key="k", fingerprint="same")
        known = await jobs.arrivals.known("k", "same")
        assert known is not None
        assert known.record.id == video
        assert await jobs.arrivals.known("other", "same") is None
        assert await jobs.arrivals.known(None, "same") is None
        with pytest.raises(Conflict):
            await jobs.arrivals.known("k", "else")
        with pytest.raises(Conflict):
            await upload(jobs, clip, key="k", fingerprint="same")


@pytest.mark.parametrize("broken", [False, True], ids=["database", "database and disk"])
async def test_a_database_that_fails_as_a_video_ends_is_asked_again(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch, broken: bool
) -> None:
    clip, written = make_clip(tmp_path / "clip.mp4", 3), VideoFiles.end
    away = Fault("The database is away.")
    refusals = iter([away, OSError("the disk is gone"), away] if broken else [away, away])

    def stumble(*given: Any, **named: Any) -> None:
        if refusal := next(refusals, None):
            raise refusal
        written(*given, **named)

    monkeypatch.setattr(VideoFiles, "end", stumble)
    monkeypatch.setattr(lanes, "RETRY_SECONDS", 0.01)
    async with serving(tmp_path) as jobs:
        video = await ended(jobs, await upload(jobs, clip))
        state = VideoState.FAILED if broken else VideoState.SUCCEEDED
        assert video.record.state is state
        assert next(refusals, None) is None


async def test_a_mistake_at_the_end_of_a_video_stops_neither_the_others_nor_the_server(
    tmp_path: Path, make_clip: MakeClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, written = make_clip(tmp_path / "clip.mp4", 3), VideoFiles.end
    stumbled = threading.Event()

    def stumble(*given: Any, **named: Any) -> None:
        if not stumbled.is_set():
            stumbled.set()
            raise OSError("the disk is gone")
        written(*given, **named)

    monkeypatch.setattr(VideoFiles, "end", stumble)
    async with serving(tmp_path) as jobs:
        bad = await upload(jobs, clip)
        assert await asyncio.to_thread(stumbled.wait, 30)
        good = await ended(jobs, await upload(jobs, clip))
        assert good.record.state is VideoState.SUCCEEDED
        assert (await jobs.find(bad)).record.state is VideoState.FAILED
