"""One video from its file to its artefacts."""

from __future__ import annotations

import asyncio
import json
import threading
import zipfile
from collections.abc import Callable, Sequence
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from living import Fresh, without_collector

from server.engines.fake import FakeEngine, fake_spec
from server.errors import BadVideo, EngineFault, Fault, NoCapacity
from server.frame import Frame, Labels, Mask, Pixels
from server.scheduling.session import Session
from server.sinks.encoding import OverlayVideo
from server.sinks.recorder import ARTEFACTS, Recorder
from server.sources.container import ContainerSource, VideoLimits, probe
from server.sources.sandbox.decoder import Sandbox
from server.sources.sandbox.probe_process import Prober
from server.sources.sandbox.system_calls import architecture
from server.videos.recording import Recording
from server.videos.segmenting import segment_video
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

MAX_PIXELS = 10**7
SPEC = fake_spec(48, 64)
HEAVY = (av.VideoFrame, Frame, Mask, Recorder, Recording)
"""Types that hold pictures, decoders or encoders."""
OnStep = Callable[[Sequence[Pixels]], None]


async def segmented(
    video: Path,
    folder: Path,
    artefacts: Sequence[str] = tuple(ARTEFACTS),
    *,
    on_step: OnStep | None = None,
    on_progress: Callable[[int], None] = lambda _: None,
    sandbox: Sandbox | None = None,
    prober: Prober | None = None,
) -> int:
    worker = Worker(lambda: FakeEngine(SPEC, on_step=on_step))
    await worker.start()
    try:
        info = probe(video, VideoLimits(max_pixels=MAX_PIXELS))
        return await segment_video(
            worker,
            video,
            folder,
            info,
            artefacts,
            max_pixels=MAX_PIXELS,
            on_progress=on_progress,
            sandbox=sandbox,
            prober=prober,
        )
    finally:
        await worker.stop()


def times(video: Path) -> list[Fraction]:
    with av.open(video) as container:
        return [
            Fraction(f.pts or 0) * Fraction(f.time_base or 0) for f in container.decode(video=0)
        ]


async def source_times(video: Path) -> list[Fraction | None]:
    async with ContainerSource(video, 48, 64, max_pixels=MAX_PIXELS) as source:
        return [frame.pts async for frame in source]


def masks(folder: Path) -> list[Labels]:
    with av.open(folder / "masks.mkv") as container:
        return [frame.to_ndarray().astype(np.uint8) for frame in container.decode(video=0)]


@pytest.mark.skipif(architecture() is None, reason="no sandbox on this machine")
async def test_a_sandbox_gives_the_same_artefacts(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", 12, (96, 80)), tmp_path / "out"
    wanted = ("masks.mkv", "overlay.mp4")
    assert await segmented(clip, out / "without", wanted) == 12
    assert await segmented(clip, out / "with", wanted, sandbox=Sandbox()) == 12
    for name in wanted:
        assert (out / "with" / name).read_bytes() == (out / "without" / name).read_bytes()


@pytest.mark.parametrize("memory", [2**30, 2**16])
async def test_the_masks_are_the_same_whoever_looks_for_cuts_and_if_it_exceeds_its_limits(
    tmp_path: Path, make_clip: Callable[..., Path], memory: int
) -> None:
    clip, out = make_clip(tmp_path / "clip.mp4", 12, (96, 80)), tmp_path / "out"
    with closing(Prober(memory, 30.0)) as prober:
        assert await segmented(clip, out / "there", ("masks.mkv",), prober=prober) == 12
    assert await segmented(clip, out / "here", ("masks.mkv",)) == 12
    assert (out / "there/masks.mkv").read_bytes() == (out / "here/masks.mkv").read_bytes()


async def test_there_is_one_mask_a_frame_with_its_time(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    uneven = [0, 40, 100, 110, 300, 340, 380, 500, 520, 540, 900, 1000]
    clip, told = make_clip(tmp_path / "clip.mp4", 12, (96, 80), uneven), list[int]()
    out = tmp_path / "out"
    assert await segmented(clip, out, on_progress=told.append) == 12
    assert told == list(range(1, 13))
    assert sorted(path.name for path in out.iterdir()) == sorted(ARTEFACTS)
    expected = [Fraction(tick, 1000) for tick in uneven]
    assert times(out / "masks.mkv") == times(out / "overlay.mp4") == expected
    summary = json.loads((out / "summary.json").read_text())
    assert [Fraction(row["pts"]) for row in summary["frames"]] == expected
    with zipfile.ZipFile(out / "masks.zip") as archive:
        assert len(archive.namelist()) == 12
    assert {mask.shape for mask in masks(out)} == {(80, 96)}


async def test_the_masks_are_those_of_the_engine(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 6)
    await segmented(clip, tmp_path / "out", ["masks.mkv"])

    engine, labels = FakeEngine(SPEC), []
    memory = engine.blank()
    async with ContainerSource(clip, 48, 64, max_pixels=MAX_PIXELS) as source:
        async for frame in source:
            stepped, (memory,) = engine.step([frame.pixels], [memory])
            labels += stepped
    np.testing.assert_array_equal(masks(tmp_path / "out"), labels)


async def test_a_turned_video_is_segmented_and_kept_as_it_is_displayed(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    out = tmp_path / "out"
    turned = make_clip(tmp_path / "clip.mp4", 3, (96, 48), None, 90)
    await segmented(turned, out)
    assert [mask.shape for mask in masks(out)] == [(96, 48)] * 3
    with av.open(out / "overlay.mp4") as container:
        frames = list(container.decode(video=0))
    assert [(frame.width, frame.height, frame.rotation) for frame in frames] == [(48, 96, 0)] * 3
    summary = json.loads((out / "summary.json").read_text())
    assert summary["video"]["rotation"] == 90


@pytest.mark.parametrize("name", ARTEFACTS)
async def test_only_what_was_asked_for_is_made(
    name: str, tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    await segmented(make_clip(tmp_path / "clip.mp4", 3), tmp_path / "out", [name])
    assert [path.name for path in (tmp_path / "out").iterdir()] == [name]


async def test_a_size_that_changes_in_the_middle_keeps_every_frame(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    parts = [
        make_clip(tmp_path / f"{number}.h264", 5, size).read_bytes()
        for number, size in enumerate([(64, 48), (128, 96)])
    ]
    clip = tmp_path / "both.h264"
    clip.write_bytes(b"".join(parts))
    assert await segmented(clip, tmp_path / "out") == 10
    assert [mask.shape for mask in masks(tmp_path / "out")] == [(48, 64)] * 10
    expected = await source_times(clip)
    assert [round(float(t), 3) for t in times(tmp_path / "out" / "masks.mkv")] == [
        round(float(t or 0), 3) for t in expected
    ]


def fail_at(step: int) -> OnStep:
    steps = iter(range(1000))

    def on_step(_: Sequence[Pixels]) -> None:
        if next(steps) >= step:
            raise EngineFault("the device is out of memory")

    return on_step


async def test_a_frame_that_cannot_be_segmented_ends_it_and_leaves_nothing(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 20)
    with pytest.raises(Fault, match=r"Frame 5 .* out of memory"):
        await segmented(clip, tmp_path / "out", on_step=fail_at(5))
    assert list((tmp_path / "out").glob("*")) == []


async def test_a_file_that_is_gone_leaves_nothing(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)
    info = probe(clip, VideoLimits())
    clip.write_bytes(b"\0" * 1000)

    with pytest.raises(BadVideo):
        worker = Worker(lambda: FakeEngine(SPEC))
        await worker.start()
        try:
            await segment_video(
                worker, clip, tmp_path / "out", info, ARTEFACTS, max_pixels=MAX_PIXELS
            )
        finally:
            await worker.stop()
    assert list((tmp_path / "out").glob("*")) == []


async def test_results_that_cannot_be_written_are_reported(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    (tmp_path / "out").write_bytes(b"a file, not a folder")
    with pytest.raises(Fault, match="could not be written"):
        await segmented(make_clip(tmp_path / "clip.mp4", 12), tmp_path / "out")


async def test_a_worker_without_room_leaves_nothing(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 3)

    with pytest.raises(NoCapacity):
        worker = Worker(lambda: FakeEngine(SPEC))
        await worker.start()
        await worker.stop()
        info = probe(clip, VideoLimits())
        await segment_video(worker, clip, tmp_path / "out", info, ARTEFACTS, max_pixels=MAX_PIXELS)
    assert list((tmp_path / "out").glob("*")) == []


async def test_cancelled_in_the_middle_of_a_step_it_frees_everything(
    tmp_path: Path, make_clip: Callable[..., Path]
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 50)
    reached, go_on = threading.Event(), threading.Event()
    steps = iter(range(1000))

    def on_step(_: Sequence[Pixels]) -> None:
        if next(steps) == 10:
            reached.set()
            go_on.wait(30)

    task = asyncio.create_task(segmented(clip, tmp_path / "out", on_step=on_step))
    await asyncio.to_thread(reached.wait)
    task.cancel()
    go_on.set()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert list((tmp_path / "out").glob("*")) == []
    async with asyncio.timeout(10):
        while working():  # noqa: ASYNC110  a thread's end wakes nobody
            await asyncio.sleep(0.01)


def working() -> list[str]:
    """The names of threads that belong to a video or its engine."""
    names = [thread.name for thread in threading.enumerate()]
    return [name for name in names if name.startswith(("recorder", "engine", "source"))]


async def test_no_more_than_the_window_is_under_way(
    tmp_path: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A slow recorder holds up the source; nothing accumulates in front of it."""
    offered, written, most = [0], [0], [0]
    offer = Worker.offer

    def counted(worker: Worker, session: Session, frame: Frame) -> None:
        offered[0] += 1
        most[0] = max(most[0], offered[0] - written[0])
        offer(worker, session, frame)

    def on_progress(frames: int) -> None:
        written[0] = frames

    monkeypatch.setattr(Worker, "offer", counted)
    clip = make_clip(tmp_path / "clip.mp4", 40)
    await segmented(clip, tmp_path / "out", on_progress=on_progress)
    assert offered == written == [40]
    assert 1 <= most[0] <= 4


async def fails(video: Path, folder: Path, on_step: OnStep | None = None) -> None:
    with pytest.raises(Fault):
        await segmented(video, folder, on_step=on_step)


def break_encoder(monkeypatch: pytest.MonkeyPatch) -> None:
    def add(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(OverlayVideo, "add", add)


async def test_no_picture_of_a_video_waits_for_the_cyclic_collector(
    tmp_path: Path, make_clip: Callable[..., Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    clip = make_clip(tmp_path / "clip.mp4", 8)
    blocked = tmp_path / "file" / "out"
    blocked.parent.write_bytes(b"")
    heavy = Fresh(*HEAVY)
    with without_collector():
        await segmented(clip, tmp_path / "done")
        assert heavy.alive() == {}, "after a video that succeeded"
        await fails(clip, tmp_path / "step", on_step=fail_at(5))
        assert heavy.alive() == {}, "after a step that failed"
        await fails(clip, blocked)
        assert heavy.alive() == {}, "after a recorder that could not be made"
        break_encoder(monkeypatch)
        await fails(clip, tmp_path / "full")
        assert heavy.alive() == {}, "after a disk that was full"
