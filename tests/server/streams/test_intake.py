"""How frames enter the session of a pulled stream."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from fractions import Fraction

import numpy as np
import pytest

from protocol import DropPolicy
from server.engines.fake import FakeEngine, fake_spec
from server.errors import BadRequest, NoCapacity
from server.frame import Dropped, Frame, Mask, Pixels, ResetCause
from server.sinks.base import Sink
from server.sources.synthetic import SyntheticSource
from server.streams.connection import Connection
from server.streams.definition import StreamDefinition
from server.streams.intake import Intake
from server.streams.live_status import Measures
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

SPEC = fake_spec(32, 48)
EVERY = StreamDefinition("cam", "rtsp://host/path", policy=DropPolicy.EVERY)


class Kept(Sink):
    """Keeps the masks."""

    def __init__(self) -> None:
        self.masks: list[Mask] = []

    def mask(self, mask: Mask) -> None:
        self.masks.append(mask)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        raise AssertionError(drops)

    def failed(self, seq: int, error: Exception) -> None:
        raise AssertionError((seq, error))


class Stage:
    """An intake and its results."""

    def __init__(self, worker: Worker, definition: StreamDefinition) -> None:
        self.worker = worker
        self.sink, self.measures = Kept(), Measures()
        self.intake = Intake(definition, worker, self.sink, self.measures, lambda: 0.0, None)

    async def take(self, connection: Connection, number: int, pixels: Pixels) -> None:
        shown = Frame(pixels, number, Fraction(number, 25), (32, 48), arrived=number / 25)
        await self.intake.take(connection, shown)

    async def resets(self) -> list[ResetCause | None]:
        await self.worker.settled(self.intake.open())
        return [mask.reset for mask in self.sink.masks]


@asynccontextmanager
async def stage(definition: StreamDefinition, max_sessions: int = 4) -> AsyncIterator[Stage]:
    worker = Worker(lambda: FakeEngine(SPEC), max_sessions=max_sessions)
    await worker.start()
    try:
        yield Stage(worker, definition)
    finally:
        await worker.stop()


def connection(number: int) -> Connection:
    return Connection(number, SyntheticSource(32, 48, live=True), lambda: 0.0)


def scene(seed: int) -> Pixels:
    blocks = np.random.default_rng(seed).integers(0, 256, (4, 6, 3), np.uint8)
    return np.kron(blocks, np.ones((8, 8, 1), np.uint8))


@pytest.mark.parametrize(("on_cut", "cause"), [("reset", ResetCause.CUT), ("keep", None)])
async def test_a_scene_cut_empties_the_memory_if_it_is_to(
    on_cut: str, cause: ResetCause | None
) -> None:
    definition = StreamDefinition("cam", "rtsp://host/path", DropPolicy.EVERY, on_cut=on_cut)  # type: ignore[arg-type]
    async with stage(definition) as on:
        one = connection(1)
        for number, seed in enumerate((1, 1, 2, 2)):
            await on.take(one, number, scene(seed))
        assert await on.resets() == [ResetCause.NEW, None, cause, None]


async def test_pictures_of_two_connections_are_not_compared() -> None:
    kept = StreamDefinition("cam", "rtsp://host/path", DropPolicy.EVERY, on_connect="keep")
    async with stage(kept) as on:
        await on.take(connection(1), 0, scene(1))
        await on.take(connection(2), 0, scene(2))
        assert await on.resets() == [ResetCause.NEW, None]


async def test_the_session_stays_open_across_connections_until_it_is_closed() -> None:
    async with stage(EVERY) as on:
        await on.take(connection(1), 0, scene(1))
        await on.take(connection(2), 0, scene(1))
        assert on.worker.sessions == 1
        assert await on.resets() == [ResetCause.NEW, ResetCause.CONNECTION]
        on.intake.close()
        on.intake.close()
        assert on.worker.sessions == 0


async def test_a_full_server_refuses_a_frame() -> None:
    async with stage(EVERY, max_sessions=0) as on:
        with pytest.raises(NoCapacity):
            await on.take(connection(1), 0, scene(1))
        assert on.measures.frames == 0


async def test_frames_beyond_max_fps_are_counted_and_not_offered() -> None:
    rare = StreamDefinition("cam", "rtsp://host/path", DropPolicy.EVERY, max_fps=5)
    async with stage(rare) as on:
        one = connection(1)
        for number in range(5):
            await on.take(one, number, scene(1))
        assert await on.resets() == [ResetCause.NEW]
        assert (on.measures.frames, on.measures.skipped) == (1, 4)


async def test_a_server_without_recordings_says_so() -> None:
    async with stage(EVERY) as on:
        with pytest.raises(BadRequest):
            on.intake.record(True)
        on.intake.record(False)
        assert on.intake.recording is None
