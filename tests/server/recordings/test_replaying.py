"""The shipped model: masks of streams that shared their steps equal those of a replay alone."""

from __future__ import annotations

from pathlib import Path

import cv2
import numpy as np
import pytest

from protocol import DropPolicy
from server.engines import make_engine
from server.frame import Frame, Mask, Pixels
from server.recordings.folder import Recordings
from server.recordings.recording import RecordedSink
from server.recordings.recording_file import read
from server.recordings.records import Opening
from server.recordings.replaying import Replayed, check_model, replay
from server.settings import EngineSettings, StreamSettings
from server.sinks.base import Sink
from server.workers.worker import Worker

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(180)]

STREAMS, FRAMES = 3, 3
ENGINE = EngineSettings(provider="cpu", max_batch=STREAMS, threads=1)


class Batches(Sink):
    """Keeps how many streams shared each step."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def mask(self, mask: Mask) -> None:
        self.batches.append(mask.batch)

    def dropped(self, drops: object) -> None:
        raise AssertionError(f"{drops} dropped")

    def failed(self, seq: int, error: Exception) -> None:
        raise AssertionError(f"{seq} failed") from error


def picture(stream: int, frame: int, height: int, width: int) -> Pixels:
    small = np.random.default_rng(stream).integers(0, 256, (9, 12, 3), np.uint8)
    scene = cv2.resize(small, (width, height), interpolation=cv2.INTER_CUBIC)
    return np.ascontiguousarray(np.roll(scene, 8 * frame, axis=1))


async def test_alone_and_together_masks_are_equal(tmp_path: Path) -> None:
    recordings = Recordings(tmp_path, StreamSettings(record=True))
    worker = Worker(lambda: make_engine(ENGINE))
    await worker.start()
    spec = worker.spec
    notes, sessions = Batches(), []
    try:
        for name in "abc"[:STREAMS]:
            sink = RecordedSink(notes)
            sink.recording = recordings.begin(
                worker.engines[0], stream=name, policy=DropPolicy.EVERY, budget=None
            )
            sessions.append(worker.open(sink, policy=DropPolicy.EVERY, window=FRAMES))
        for seq in range(FRAMES):
            for number, session in enumerate(sessions):
                worker.offer(session, Frame(picture(number, seq, spec.height, spec.width), seq))
        for session in sessions:
            await worker.settled(session)
    finally:
        await worker.stop()
    recordings.close(60)
    assert notes.batches == [STREAMS] * STREAMS * FRAMES

    engine = make_engine(ENGINE)
    for stored in recordings.all():
        first, *blocks = read(recordings.find(stored.name))
        assert isinstance(first.record, Opening)
        check_model(first.record, engine.spec)
        outcomes = [one for one in replay(blocks, engine, 10**6) if isinstance(one, Replayed)]
        assert [one.difference for one in outcomes] == [""] * FRAMES
        assert len({one.mask for one in outcomes}) > 1, "the pictures make no difference"
    engine.close()
