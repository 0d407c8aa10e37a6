"""Two servers, each with its own engine, work on the videos in one folder."""

from __future__ import annotations

import asyncio
import io
import json
import logging
import threading
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import av
import pytest
from job_process import write_clip
from jobs_at_work import ended, until, upload
from own_rows import OwnRows

from server.database.connection import sqlite_url
from server.database.video_record import VideoState
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineFault, NotFound
from server.frame import Pixels
from server.settings import VideoSettings
from server.sinks.recorder import ARTEFACTS
from server.sources.cuts import Cuts, Uncut
from server.sources.sandbox.decoder import Sandbox
from server.videos import durable_ledger, files, jobs, runner, video_job
from server.videos.durable_ledger import DurableLedger
from server.videos.jobs import Jobs
from server.videos.ledger import Taken, Terms
from server.videos.quota import LINGER_SECONDS
from server.videos.unfinished import growing_overlay
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

PIECES, PIECE_FRAMES = 8, 10
OnStep = Callable[[Sequence[Pixels]], None]


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    """Servers check the work of others often."""
    monkeypatch.setattr(files, "SHARED", Terms(10.0, 0.05, patience=0.3))
    for module in (jobs, runner):
        monkeypatch.setattr(module, "LOOK_SECONDS", 0.02)


@pytest.fixture
def clip(tmp_path: Path) -> Path:
    return write_clip(tmp_path / "clip.mp4", PIECES * PIECE_FRAMES)


class Server:
    """``pieces`` counts the results of the pieces here."""

    def __init__(self, jobs: Jobs, pieces: Counter[str]) -> None:
        self.jobs = jobs
        self.pieces = pieces

    async def pause(self) -> None:
        """Begin no video until :meth:`resume`."""
        await self.jobs.drain()

    def resume(self) -> None:
        self.jobs._runner.draining = False
        self.jobs._runner.start()


@asynccontextmanager
async def serving(
    folder: Path,
    name: str,
    on_step: OnStep | None = None,
    sandbox: Sandbox | None = None,
    clock: Callable[[], float] = time.time,
    **settings: Any,
) -> AsyncIterator[Server]:
    """One server; all that are started with this ``folder`` share it."""
    engine = lambda: FakeEngine(fake_spec(48, 64), on_step=on_step)  # noqa: E731
    worker = Worker(engine, step_deadline=60.0, backoff=0.001)
    await worker.start()
    folder.mkdir(exist_ok=True)
    store = OwnRows(sqlite_url(folder / "videos.db"), name, "shared")
    chosen = VideoSettings(
        folder=folder,
        min_free_bytes=0,
        pause_free_bytes=0,
        lanes=1,
        **{"piece_frames": PIECE_FRAMES, **settings},
    )
    pieces: Counter[str] = Counter()
    served = Jobs(
        worker,
        store,
        folder / "videos",
        chosen,
        sandbox=sandbox,
        clock=clock,
        on_piece=lambda result: pieces.update([result]),
    )
    await served.start()
    try:
        yield Server(served, pieces)
    finally:
        await served.stop()
        store.close()
        await worker.stop()


async def eventually(met: Callable[[], bool]) -> None:
    async with asyncio.timeout(30):
        while True:
            if met():
                return
            await asyncio.sleep(0.01)


async def results(server: Server, video: str) -> dict[str, Any]:
    """The bytes of every artefact, and of the summary all but its measured times."""
    found: dict[str, Any] = {}
    for name in ARTEFACTS:
        _, path = await server.jobs.outputs.artefact(video, name)
        assert isinstance(path, Path)
        found[name] = path.read_bytes()
    found["summary.json"] = json.loads(found["summary.json"])
    del found["summary.json"]["timing"]
    return found


class Meeting:
    """Lets the engines of two servers step only once both have started."""

    def __init__(self) -> None:
        self._all_here = threading.Barrier(2)
        self._came: set[int] = set()

    def of(self, server: int) -> OnStep:
        def on_step(_: Sequence[Pixels]) -> None:
            if server not in self._came:
                self._came.add(server)
                self._all_here.wait(30)

        return on_step


class Gate:
    """Holds an engine after this many steps until it is opened."""

    def __init__(self, steps: int) -> None:
        self._steps = iter(range(steps))
        self._open = threading.Event()
        self.is_reached = False

    def __call__(self, _: Sequence[Pixels]) -> None:
        if next(self._steps, None) is None:
            self.is_reached = True
            assert self._open.wait(30), "nobody opened the gate"

    def open(self) -> None:
        self._open.set()


async def alone(folder: Path, clip: Path, **settings: Any) -> dict[str, Any]:
    async with serving(folder, "only", **settings) as server:
        video = await upload(server.jobs, clip)
        assert (await ended(server.jobs, video)).record.state is VideoState.SUCCEEDED
        return await results(server, video)


async def test_two_servers_share_the_pieces_of_a_video(tmp_path: Path, clip: Path) -> None:
    meeting, folder = Meeting(), tmp_path / "shared"
    async with (
        serving(folder, "a", meeting.of(0)) as a,
        serving(folder, "b", meeting.of(1)) as b,
    ):
        video = await upload(a.jobs, clip)
        done = await ended(b.jobs, video)
        assert (done.record.state, done.progress.frames_done) == (VideoState.SUCCEEDED, 80)
        assert a.pieces["done"] and b.pieces["done"]
        assert a.pieces + b.pieces == Counter(done=PIECES)
        together = await results(a, video)
        assert together == await results(b, video)
        await b.jobs.delete(video)
        with pytest.raises(NotFound):
            await a.jobs.find(video)
        assert list((folder / "videos").iterdir()) == []
    assert together == await alone(tmp_path / "alone", clip)


async def test_who_watches_elsewhere_sees_frames_before_a_piece_is_done(
    tmp_path: Path, clip: Path
) -> None:
    folder, gates = tmp_path / "shared", (Gate(5), Gate(0))
    async with serving(folder, "a", gates[0]) as a, serving(folder, "b", gates[1]) as b:
        video = await upload(a.jobs, clip)
        seen = await until(b.jobs, video, lambda now: now.progress.frames_done >= 3)
        assert seen.record.state is VideoState.RUNNING
        for gate in gates:
            gate.open()
        assert (await ended(b.jobs, video)).record.state is VideoState.SUCCEEDED


async def test_a_video_is_read_once_for_where_it_can_be_cut(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Otherwise each server would read a large file in a folder on the network, and one that cannot
    read all of it in time would undo the work of others."""
    meeting, folder, read = Meeting(), tmp_path / "shared", video_job.cuts_of_video
    reads: list[Cuts] = []

    def cuts_of_video(*given: Any) -> Cuts:
        reads.append(read(*given))
        return reads[-1] if len(reads) == 1 else Cuts(0, reason=Uncut.DAMAGED)

    monkeypatch.setattr(video_job, "cuts_of_video", cuts_of_video)
    async with (
        serving(folder, "a", meeting.of(0)) as a,
        serving(folder, "b", meeting.of(1)) as b,
    ):
        done = await ended(b.jobs, await upload(a.jobs, clip))
        assert (done.record.state, done.record.pieces) == (VideoState.SUCCEEDED, PIECES)
        assert a.pieces["done"] and b.pieces["done"]
    assert len(reads) == 1


async def test_a_video_with_a_damaged_picture_is_one_piece_on_whichever_server(
    tmp_path: Path, clip: Path
) -> None:
    """Damage is found by decoding, while other servers segment other pieces, which are then
    dropped."""
    with av.open(clip) as container:
        packet = [bytes(packet) for packet in container.demux(video=0)][45]
    # The length of its first NAL unit is wrong.
    clip.write_bytes(clip.read_bytes().replace(packet, b"\xff\xff\xff\xff" + packet[4:]))
    folder = tmp_path / "shared"
    async with serving(folder, "a") as a, serving(folder, "b") as b:
        video = await upload(a.jobs, clip)
        done = await ended(b.jobs, video)
        assert (done.record.state, done.record.uncut) == (VideoState.SUCCEEDED, "damaged")
        assert done.record.pieces == 1
        found = await results(a, video)
        assert attempts(folder, video) == ["00000"], "those of the pieces are gone"
    assert found == await alone(tmp_path / "alone", clip)


def attempts(folder: Path, video: str) -> list[str]:
    """The numbers of the pieces that have files."""
    return sorted(path.name[:5] for path in (folder / "videos" / video / "pieces").glob("*.e*"))


async def test_a_server_with_other_settings_leaves_a_video_to_those_who_planned_it(
    tmp_path: Path, clip: Path
) -> None:
    """Until none of them is left: then it begins anew, in its own way."""
    folder, gate = tmp_path / "shared", Gate(35)
    async with (
        serving(folder, "a", gate) as a,
        serving(folder, "b", piece_frames=4 * PIECE_FRAMES) as b,
    ):
        await b.pause()
        video = await upload(a.jobs, clip)
        await until(a.jobs, video, lambda now: now.progress.frames_done >= 30)
        b.resume()
        other = await upload(b.jobs, clip)
        assert (await ended(b.jobs, other)).record.pieces == 2
        assert b.pieces == Counter(done=2), "nothing of what a has planned"
        gate.open()
        assert (await ended(b.jobs, video)).record.pieces == PIECES
        assert (a.pieces, b.pieces) == (Counter(done=PIECES), Counter(done=2))
        found = await results(a, video), await results(b, other)
    assert found[0] == await alone(tmp_path / "alone", clip)
    assert found[1] == await alone(tmp_path / "large", clip, piece_frames=4 * PIECE_FRAMES)


async def test_what_servers_that_are_gone_have_planned_is_planned_anew(
    tmp_path: Path, clip: Path
) -> None:
    folder, gate = tmp_path / "shared", Gate(35)
    async with serving(folder, "b", piece_frames=4 * PIECE_FRAMES) as b:
        await b.pause()
        async with serving(folder, "a", gate) as a:
            video = await upload(a.jobs, clip)
            await until(a.jobs, video, lambda now: now.progress.frames_done >= 30)
            gate.open()
            await a.jobs.drain()
            assert a.pieces["done"] and (await a.jobs.find(video)).record.pieces == PIECES
        b.resume()
        done = await ended(b.jobs, video)
        assert (done.record.state, done.record.pieces) == (VideoState.SUCCEEDED, 2)
        assert b.pieces == Counter(done=2)
        assert attempts(folder, video) == ["00000", "00001"]
        found = await results(b, video)
    assert found == await alone(tmp_path / "alone", clip, piece_frames=4 * PIECE_FRAMES)


class Late:
    """Lets a server see a step, but take the whole video for it only once it is ``allowed``."""

    def __init__(self, owner: str, monkeypatch: pytest.MonkeyPatch, calls: int = 1) -> None:
        self.came, self.allowed = asyncio.Event(), asyncio.Event()
        real = DurableLedger.take_whole
        left = iter(range(calls - 1))

        async def take_whole(ledger: DurableLedger) -> Taken:
            if ledger._owner == owner and next(left, None) is None:
                self.came.set()
                await self.allowed.wait()
            return await real(ledger)

        monkeypatch.setattr(DurableLedger, "take_whole", take_whole)


async def test_a_video_is_planned_once_also_if_another_server_saw_that_it_is_to_be(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is late: the first one has planned the video, done a piece and gone."""
    folder, gate, late = tmp_path / "shared", Gate(15), Late("b", monkeypatch)
    async with serving(folder, "a", gate) as a, serving(folder, "b") as b:
        await a.pause()
        video = await upload(a.jobs, clip)
        await late.came.wait()
        a.resume()
        await eventually(lambda: a.pieces["done"] > 0)
        gate.open()
        await a.jobs.drain()
        late.allowed.set()
        done = await ended(b.jobs, video)
        assert (done.record.state, done.record.pieces) == (VideoState.SUCCEEDED, PIECES)
        assert a.pieces["done"] and a.pieces + b.pieces == Counter(done=PIECES)


async def test_pieces_of_a_plan_that_was_replaced_are_not_joined(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A server saw that all are done, but was late: one with other settings has begun anew, and
    left when half was done. The results would have half of the frames."""
    folder, gate, late = tmp_path / "shared", Gate(45), Late("a", monkeypatch, calls=2)
    async with (
        serving(folder, "b", gate, piece_frames=4 * PIECE_FRAMES) as b,
        serving(folder, "a") as a,
    ):
        await b.pause()
        video = await upload(a.jobs, clip)
        await late.came.wait()
        assert a.pieces == Counter(done=PIECES)
        b.resume()
        await eventually(lambda: b.pieces["done"] > 0)
        gate.open()
        await b.jobs.drain()
        late.allowed.set()
        done = await ended(a.jobs, video)
        assert (done.record.state, done.progress.frames_done) == (VideoState.SUCCEEDED, 80)
        found = await results(a, video)
    assert found == await alone(tmp_path / "alone", clip)


async def test_a_server_that_cannot_decode_a_video_leaves_it_to_the_others(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its decoder dies, which says nothing of the video."""
    monkeypatch.setattr(files, "SHARED", Terms(10.0, 0.05, patience=10.0, rest=60.0))
    folder, gate = tmp_path / "shared", Gate(5)
    broken = Sandbox(module="there_is_no_such_module")
    async with serving(folder, "a", gate) as a, serving(folder, "b", sandbox=broken) as b:
        video = await upload(a.jobs, clip)
        await eventually(lambda: b.pieces["failed"] > 0)
        gate.open()
        done = await ended(b.jobs, video)
        assert (done.record.state, done.record.pieces) == (VideoState.SUCCEEDED, PIECES)
        assert (a.pieces, b.pieces) == (Counter(done=PIECES), Counter(failed=1))
        found = await results(a, video)
    assert found == await alone(tmp_path / "alone", clip)


async def test_a_video_is_left_for_no_longer_if_the_clock_is_set_back(
    tmp_path: Path, clip: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(files, "SHARED", Terms(10.0, 0.05, rest=0.1))
    failures = Counter[str]()

    def fails_first(_: Sequence[Pixels]) -> None:
        if not failures["failed"]:
            raise EngineFault("out of memory")

    async with serving(tmp_path / "shared", "a", fails_first, clock=lambda: 1e9) as a:
        failures = a.pieces
        video = await upload(a.jobs, clip)
        async with asyncio.timeout(30):
            assert (await ended(a.jobs, video)).record.state is VideoState.SUCCEEDED
        assert a.pieces["failed"] == 1


@pytest.mark.parametrize("steps", [0, 9, 10, 79])
async def test_a_video_that_is_cancelled_while_it_is_worked_on_is_no_error(
    tmp_path: Path, clip: Path, caplog: pytest.LogCaptureFixture, steps: int
) -> None:
    """Whatever fails since its files are gone."""
    folder, gate = tmp_path / "shared", Gate(steps)
    async with serving(folder, "a", gate) as a, serving(folder, "b") as b:
        await b.pause()
        video = await upload(a.jobs, clip)
        await eventually(lambda: gate.is_reached)
        await b.jobs.delete(video)
        gate.open()
        await eventually(lambda: not a.jobs._runner._running)
        assert (await a.jobs.find(video)).record.state is VideoState.CANCELLED
        assert not (folder / "videos" / video).exists()
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_a_video_that_is_cancelled_while_it_is_joined_is_no_error(
    tmp_path: Path,
    clip: Path,
    caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, joins, removed = tmp_path / "shared", asyncio.Event(), asyncio.Event()
    real = video_job.join_pieces

    async def join_pieces(*given: Any) -> None:
        joins.set()
        await removed.wait()
        await real(*given)

    monkeypatch.setattr(video_job, "join_pieces", join_pieces)
    async with serving(folder, "a") as a, serving(folder, "b") as b:
        await b.pause()
        video = await upload(a.jobs, clip)
        await joins.wait()
        await b.jobs.delete(video)
        removed.set()
        await eventually(lambda: not a.jobs._runner._running)
        assert (await a.jobs.find(video)).record.state is VideoState.CANCELLED
        assert not (folder / "videos" / video).exists()
    assert [one for one in caplog.records if one.levelno >= logging.ERROR] == []


async def test_cancelled_on_one_server_a_video_ends_on_all(tmp_path: Path, clip: Path) -> None:
    folder, gates = tmp_path / "shared", (Gate(3), Gate(3))
    async with serving(folder, "a", gates[0]) as a, serving(folder, "b", gates[1]) as b:
        video = await upload(a.jobs, clip)
        await until(a.jobs, video, lambda now: now.progress.frames_done >= 4)
        await b.jobs.delete(video)
        assert (await a.jobs.find(video)).record.state is VideoState.CANCELLED
        for gate in gates:
            gate.open()
        await eventually(lambda: not a.jobs._runner._running and not b.jobs._runner._running)
        assert not (folder / "videos" / video).exists()
        other = await upload(b.jobs, clip)
        assert (await ended(a.jobs, other)).record.state is VideoState.SUCCEEDED


async def test_a_server_that_drains_leaves_the_rest_to_the_other(
    tmp_path: Path, clip: Path
) -> None:
    folder, gates = tmp_path / "shared", (Gate(13), Gate(13))
    async with serving(folder, "a", gates[0]) as a, serving(folder, "b", gates[1]) as b:
        video = await upload(a.jobs, clip)
        await until(a.jobs, video, lambda now: now.progress.frames_done >= 20)
        gates[0].open()
        await a.jobs.drain()
        assert (await a.jobs.find(video)).record.state is VideoState.RUNNING
        gates[1].open()
        assert (await ended(b.jobs, video)).record.state is VideoState.SUCCEEDED
        assert a.pieces["done"] and (a.pieces + b.pieces)["done"] == PIECES
        found = await results(b, video)
    assert found == await alone(tmp_path / "alone", clip)


async def test_a_poisonous_piece_fails_the_video_after_as_many_failures_as_on_one_server(
    tmp_path: Path, clip: Path
) -> None:
    folder, failures = tmp_path / "shared", Counter[str]()
    poison: list[bytes] = []

    def fails(server: str) -> OnStep:
        def on_step(frames: Sequence[Pixels]) -> None:
            for frame in frames:
                if poison and frame.tobytes() == poison[0]:
                    failures[server] += 1
                    raise EngineFault("out of memory")

        return on_step

    seen: list[bytes] = []

    def note(frames: Sequence[Pixels]) -> None:
        seen.append(frames[0].tobytes())

    async with serving(tmp_path / "first", "c", note) as c:
        await ended(c.jobs, await upload(c.jobs, clip))
    poison.append(seen[45])
    async with serving(folder, "a", fails("a")) as a, serving(folder, "b", fails("b")) as b:
        failed = await ended(b.jobs, await upload(a.jobs, clip))
        assert failed.record.state is VideoState.FAILED
        assert failed.record.problem is not None
        assert "failed at frames 40 to 49, from 1.6 s on" in failed.record.problem["detail"]
        assert (a.pieces + b.pieces)["failed"] == durable_ledger.MAX_FAILURES
        await eventually(lambda: not list((folder / "videos").iterdir()))


async def test_a_viewer_on_another_server_receives_the_whole_overlay(
    tmp_path: Path, clip: Path
) -> None:
    folder, gates = tmp_path / "shared", (Gate(60), Gate(60))
    async with serving(folder, "a", gates[0]) as a, serving(folder, "b", gates[1]) as b:
        video = await upload(a.jobs, clip)
        await until(b.jobs, video, lambda now: now.progress.frames_done >= 30)
        viewers = [growing_overlay(one.jobs, video) for one in (a, b)]
        begun = [await anext(viewer) for viewer in viewers]
        for gate in gates:
            gate.open()
        await ended(b.jobs, video)
        received = [
            first + b"".join([data async for data in viewer])
            for first, viewer in zip(begun, viewers, strict=True)
        ]
        assert received[0] == received[1]
        assert received[0].count(b"ftyp") == 1


async def test_a_slow_viewer_on_another_server_receives_the_whole_overlay(
    tmp_path: Path, clip: Path
) -> None:
    """It plays the video for longer than the pieces would stay without it."""
    folder, gate, now = tmp_path / "shared", Gate(60), time.time()
    async with serving(folder, "a", gate) as a, serving(folder, "b") as b:
        video = await upload(a.jobs, clip)
        await until(a.jobs, video, lambda seen: seen.progress.frames_done >= 30)
        viewer = growing_overlay(b.jobs, video)
        seen = await anext(viewer)
        gate.open()
        done = await ended(b.jobs, video)
        assert done.record.state is VideoState.SUCCEEDED
        for later in range(0, 5 * int(LINGER_SECONDS), 10):
            for server in (b, a):
                await server.jobs.disk(server.jobs.files.expire, now + later)
        seen += b"".join([data async for data in viewer])
        with av.open(io.BytesIO(seen)) as container:
            assert len([*container.decode(video=0)]) == PIECES * PIECE_FRAMES
