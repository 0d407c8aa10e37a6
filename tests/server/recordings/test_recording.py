"""A recorded session, replayed alone: its masks, resets, drops and failures."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import pytest

from protocol import DropCause, DropPolicy
from server.engines.fake import FakeEngine, fake_spec
from server.engines.info import EngineInfo
from server.errors import EngineDead, EngineFault, MastreamError, Undecodable
from server.frame import Dropped, Frame, Mask, ResetCause
from server.recordings.recording import RecordedSink, Recording, sha256
from server.recordings.recording_file import Block, read
from server.recordings.records import (
    Ending,
    Failed,
    Lost,
    Masked,
    Opening,
    Rebuilt,
    from_json,
    to_json,
)
from server.recordings.replaying import Replayed, Retried, check_model, replay
from server.recordings.writer import Limits, Writer
from server.sinks.base import Sink
from server.sources.pictures.packets import Packet, PacketDecoder
from server.workers.worker import Worker

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SPEC = fake_spec(32, 48)
LIMITS = Limits(10**8, 60.0)


def pixels(seed: int) -> Any:
    return np.random.default_rng(seed).integers(0, 256, (32, 48, 3), np.uint8)


def opening() -> Opening:
    return Opening(
        version="1",
        stream="",
        model=SPEC.to_dict(),
        provider="fake",
        device="cpu",
        policy="every",
        began=1.5,
    )


@dataclass
class Notes(Sink):
    masks: list[Mask] = field(default_factory=list)
    drops: list[Dropped] = field(default_factory=list)
    failures: list[int] = field(default_factory=list)

    def mask(self, mask: Mask) -> None:
        self.masks.append(mask)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        self.drops.extend(drops)

    def failed(self, seq: int, _: Exception) -> None:
        self.failures.append(seq)


@dataclass
class Scene:
    """A worker with one recorded session."""

    worker: Worker
    session: Any
    notes: Notes
    sink: RecordedSink

    def offer(self, seq: int, **fields: Any) -> None:
        self.worker.offer(self.session, Frame(pixels(seq), seq, **fields))

    async def offer_each(self, *seqs: int, **fields: Any) -> None:
        for seq in seqs:
            await self.worker.wait_for_room(self.session)
            self.offer(seq, **fields)
            await self.worker.settled(self.session)


async def recorded(
    path: Path,
    script: Callable[[Scene], Any],
    *,
    policy: DropPolicy = DropPolicy.EVERY,
    on_step: Callable[[Sequence[Any]], None] | None = None,
    begins_late: bool = False,
) -> tuple[Notes, list[Block]]:
    """Play a script; return what the stream got and what its recording holds."""
    worker = Worker(lambda: FakeEngine(SPEC, on_step=on_step), backoff=0.01)
    await worker.start()
    notes = Notes()
    sink = RecordedSink(notes)
    writer = Writer(path, LIMITS)
    recording = Recording("a", opening(), writer)
    if not begins_late:
        sink.recording = recording
    session = worker.open(sink, policy=policy, window=8)
    scene = Scene(worker, session, notes, sink)
    try:
        if begins_late:
            await scene.offer_each(1000, 1001)
            notes.masks.clear()
            sink.recording = recording
            worker.reset(session)
        await script(scene)
        await worker.settled(session)
        worker.close(session)
    finally:
        await worker.stop()
    recording.end()
    writer.join(30)
    return notes, list(read(path))


def replayed(blocks: list[Block]) -> list[Replayed]:
    assert isinstance(blocks[0].record, Opening)
    outcomes = replay(blocks[1:], FakeEngine(SPEC), 10**6)
    return [one for one in outcomes if isinstance(one, Replayed)]


def of_kind(blocks: list[Block], kind: type[Any]) -> list[Any]:
    return [block.record for block in blocks if isinstance(block.record, kind)]


def assert_equal(notes: Notes, blocks: list[Block]) -> None:
    """Every mask that the stream got is recorded with its hash, and the replay agrees."""
    answered = [one for one in of_kind(blocks, Masked) if not one.replay]
    assert [(m.frame.seq, sha256(m.labels), m.filled) for m in notes.masks] == [
        (one.seq, one.mask, one.filled) for one in answered
    ]
    outcomes = replayed(blocks)
    assert [one.record for one in outcomes] == of_kind(blocks, Masked)
    assert [one.difference for one in outcomes] == [""] * len(outcomes)


async def test_resets_and_times_are_kept(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.offer_each(0, 1, 2, pts=Fraction(1, 3))
        scene.worker.reset(scene.session, ResetCause.CUT)
        await scene.offer_each(3, 4)
        await scene.offer_each(7, reset=True)

    notes, blocks = await recorded(tmp_path / "a", script)
    assert blocks[0].record == from_json(to_json(opening()))
    assert_equal(notes, blocks)
    masks = of_kind(blocks, Masked)
    assert [one.reset for one in masks] == ["new", None, None, "cut", None, "client"]
    assert [one.filled for one in masks] == [0, 1, 2, 0, 1, 0]
    assert [one.pts for one in masks] == ["1/3"] * 3 + [None] * 3
    assert {one.picture for one in masks} == {"png"}
    assert blocks[-1].record == Ending(why="closed")


async def test_dropped_frames_are_named_and_not_replayed(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        for seq in range(4):
            scene.offer(seq)
        await scene.worker.settled(scene.session)
        await scene.offer_each(9)

    notes, blocks = await recorded(tmp_path / "a", script, policy=DropPolicy.LATEST)
    assert_equal(notes, blocks)
    lost = [seq for one in of_kind(blocks, Lost) for seq in one.seqs]
    assert lost == [drop.seq for drop in notes.drops] == [0, 1, 2]
    assert {one.cause for one in of_kind(blocks, Lost)} == {DropCause.NEWER}
    assert [one.seq for one in of_kind(blocks, Masked)] == [3, 9]


async def test_replayed_frames_update_the_memory_of_the_replay_too(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.offer_each(0, 1, replay=True)
        await scene.offer_each(2)

    notes, blocks = await recorded(tmp_path / "a", script)
    assert [mask.frame.seq for mask in notes.masks] == [2]
    assert [one.replay for one in of_kind(blocks, Masked)] == [True, True, False]
    assert_equal(notes, blocks)


async def test_an_engine_that_died_leaves_equal_masks(tmp_path: Path) -> None:
    died = threading.Event()

    def on_step(frames: Sequence[Any]) -> None:
        if not died.is_set() and np.array_equal(frames[0], pixels(3)):
            died.set()
            raise EngineDead("It died.")

    async def script(scene: Scene) -> None:
        await scene.offer_each(0, 1, 2, 3, 4)

    notes, blocks = await recorded(tmp_path / "a", script, on_step=on_step)
    assert died.is_set() and len(notes.masks) == 5
    assert [one.seq for one in of_kind(blocks, Rebuilt)] == [1, 2]
    assert_equal(notes, blocks)


async def test_a_frame_that_failed_is_tried_again_and_changes_no_memory(tmp_path: Path) -> None:
    def on_step(frames: Sequence[Any]) -> None:
        if np.array_equal(frames[0], pixels(1)):
            raise EngineFault("It failed.")

    async def script(scene: Scene) -> None:
        await scene.offer_each(0)
        scene.worker.reset(scene.session, ResetCause.GAP)
        await scene.offer_each(1, 2)

    notes, blocks = await recorded(tmp_path / "a", script, on_step=on_step)
    assert notes.failures == [1]
    (failed,) = of_kind(blocks, Failed)
    assert (failed.seq, failed.stage, failed.reset) == (1, "step", "gap")
    assert (failed.code, failed.detail) == ("engine_fault", "It failed.")
    assert [one.reset for one in of_kind(blocks, Masked)] == ["new", "gap"]
    assert_equal(notes, blocks)
    assert retried(blocks, None) == ["its step succeeds here"]
    assert retried(blocks, on_step) == ["its step fails here too: It failed."]


def retried(blocks: list[Block], on_step: Callable[[Sequence[Any]], None] | None) -> list[str]:
    outcomes = replay(blocks[1:], FakeEngine(SPEC, on_step=on_step), 10**6)
    return [one.outcome for one in outcomes if isinstance(one, Retried)]


async def test_a_picture_that_was_refused_is_tried_again(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        assert scene.sink.recording
        error = Undecodable("It is cut off.")
        scene.sink.recording.refused(Packet(b"no", 0, 0.0), None, error)
        scene.sink.recording.refused(Packet(bytes(12), 1, 0.0), (2, 2), error)

    _, blocks = await recorded(tmp_path / "a", script)
    assert [(one.stage, one.detail) for one in of_kind(blocks, Failed)] == [
        ("decode", "It is cut off.")
    ] * 2
    assert [block.payload for block in blocks[1:3]] == [b"no", bytes(12)]
    assert retried(blocks, None) == [
        "its picture cannot be decoded here either",
        "its picture can be decoded here",
    ]


async def test_a_step_that_fails_only_in_the_replay_is_a_difference(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.offer_each(0)

    def on_step(_: Sequence[Any]) -> None:
        raise EngineFault("It failed.")

    _, blocks = await recorded(tmp_path / "a", script)
    (outcome, _ending) = replay(blocks[1:], FakeEngine(SPEC, on_step=on_step), 10**6)
    assert isinstance(outcome, Replayed)
    assert outcome.difference == "its step fails here: It failed"


async def test_a_recording_that_begins_late_begins_with_a_reset(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.offer_each(2000, 2001)

    notes, blocks = await recorded(tmp_path / "a", script, begins_late=True)
    assert [one.reset for one in of_kind(blocks, Masked)] == ["client", None]
    assert_equal(notes, blocks)


@pytest.mark.parametrize("overlay", [False, True])
@pytest.mark.parametrize("raw", [None, (80, 120)])
async def test_a_clients_packets_are_kept_as_they_came(
    tmp_path: Path, raw: tuple[int, int] | None, overlay: bool
) -> None:
    # More than twice the model's size: without an overlay the JPEG is decoded at half its own.
    picture = np.random.default_rng(1).integers(0, 256, (80, 120, 3), np.uint8)
    data = picture.tobytes() if raw else cv2.imencode(".jpg", picture)[1].tobytes()
    decoder = PacketDecoder(32, 48, 10**6, raw, keep_original=overlay, keep_packet=True)

    async def script(scene: Scene) -> None:
        scene.worker.offer(scene.session, decoder.decode(Packet(data, 0, 0.0)))

    notes, blocks = await recorded(tmp_path / "a", script)
    assert blocks[1].payload == data
    assert of_kind(blocks, Masked)[0].picture == ("rgb24" if raw else "packet")
    assert of_kind(blocks, Masked)[0].size == (80, 120)
    assert_equal(notes, blocks)


async def test_the_first_difference_is_named(tmp_path: Path) -> None:
    async def script(scene: Scene) -> None:
        await scene.offer_each(0, 1, 2)

    _, blocks = await recorded(tmp_path / "a", script)
    wrong = Block(blocks[2].record.model_copy(update={"mask": "0" * 64}), blocks[2].payload)
    other = Block(blocks[3].record, blocks[2].payload)
    broken = Block(blocks[3].record, b"no picture")
    outcomes = replayed([blocks[0], blocks[1], wrong])
    assert [bool(one.difference) for one in outcomes] == [False, True]
    assert f"its mask was {'0' * 64}, here it is {outcomes[1].mask}" in outcomes[1].difference
    assert "its picture was decoded to" in replayed([*blocks[:3], other])[-1].difference
    assert "cannot be decoded here" in replayed([*blocks[:3], broken])[-1].difference
    # Without the frame before, the memory holds one frame less.
    assert "the memory held 2 frames, here 1" in replayed([*blocks[:2], blocks[3]])[-1].difference


@pytest.mark.parametrize(
    ("engine", "words"),
    [
        (FakeEngine(fake_spec(16, 48)), "but this is fake (48x16"),
        (None, "does not describe its model"),
    ],
)
def test_another_model_is_one_sentence(engine: FakeEngine | None, words: str) -> None:
    given = opening() if engine else opening().model_copy(update={"model": {}})
    with pytest.raises(MastreamError, match=words.replace("(", r"\(")) as caught:
        check_model(given, (engine or FakeEngine(SPEC)).spec)
    assert str(caught.value).count(".") >= 1 and "\n" not in str(caught.value)
    check_model(opening(), EngineInfo(SPEC, "cuda", 1).spec)


async def test_a_stream_without_events_leaves_no_file(tmp_path: Path) -> None:
    writer = Writer(tmp_path / "a", LIMITS)
    Recording("a", opening(), writer).end()
    writer.join(30)
    assert not (tmp_path / "a").exists()
