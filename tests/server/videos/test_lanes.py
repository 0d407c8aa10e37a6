"""How many lanes a video gets: as many as the measured steps are worth."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from types import SimpleNamespace
from typing import Any, cast

import numpy as np
import pytest

from models.spec import ModelSpec
from protocol import DropPolicy, StageTimes
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineFault, NoCapacity
from server.frame import Frame, Mask, Pixels
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.videos.lanes import STEPS, measure_lanes
from server.workers.serving import Serving
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio

SPEC = fake_spec(16, 32)
LABELS = np.zeros((16, 32), np.uint8)
Cost = Callable[[int], float]


class Timed:
    """A worker whose step with a frame of each session takes ``cost`` milliseconds; the first step
    of a size takes a second more. ``sizes`` are the steps that it made, ``room`` the sessions that
    it has room for; it steps at most ``together`` frames at once."""

    def __init__(self, cost: Cost, most: int = 4, room: int = 99, together: int = 99) -> None:
        self.spec: ModelSpec = SPEC
        self.engines = (SimpleNamespace(max_batch=most),)
        self.sizes: list[int] = []
        self.sinks: dict[Session, Sink] = {}
        self._cost, self._room, self._together = cost, room, together
        self._waiting: list[Frame] = []

    def open(self, sink: Sink, **given: Any) -> Session:
        if len(self.sinks) >= self._room:
            raise NoCapacity("All sessions are taken.")
        assert given == {"policy": DropPolicy.EVERY, "window": STEPS, "background": True}
        session = Session(**given)
        self.sinks[session] = sink
        return session

    def offer(self, session: Session, frame: Frame) -> None:
        assert session in self.sinks and frame.pixels.shape == (16, 32, 3)
        self._waiting.append(frame)
        if len(self._waiting) == len(self.sinks):
            self._step(len(self._waiting), frame)
            self._waiting.clear()

    def _step(self, offered: int, frame: Frame) -> None:
        size = min(offered, self._together)
        milliseconds = self._cost(size) + (0 if size in self.sizes else 1000)
        self.sizes.append(size)
        for sink in self.sinks.values():
            sink.mask(Mask(LABELS, frame, batch=size, times=StageTimes(step=milliseconds)))

    async def settled(self, session: Session) -> None:
        assert session in self.sinks and not self._waiting

    def close(self, session: Session) -> None:
        del self.sinks[session]


async def lanes(*workers: Timed) -> int:
    found = await measure_lanes(cast(Serving, SimpleNamespace(workers=workers)))
    assert not any(worker.sinks for worker in workers), "a session was left open"
    return found


@pytest.mark.parametrize(
    ("cost", "expected"),
    [
        (lambda _: 10.0, 4),  # a GPU that is not busy yet
        (lambda size: 10.0 * size, 1),  # a CPU: nothing is gained
        ({1: 10.0, 2: 11.0, 4: 22.0}.__getitem__, 2),  # full with two
        ({1: 10.0, 2: 18.1, 4: 40.0}.__getitem__, 2),  # 9.05 ms a frame: just enough
        ({1: 10.0, 2: 18.3, 4: 40.0}.__getitem__, 1),  # 9.15 ms: less than 10 % gained
        ({1: 10.0, 2: 19.0, 4: 30.0}.__getitem__, 4),  # only the largest is worth it
    ],
)
async def test_the_batch_at_which_frames_come_fastest_is_taken(cost: Cost, expected: int) -> None:
    assert await lanes(Timed(cost)) == expected


@pytest.mark.parametrize(
    ("most", "sizes"), [(1, [1]), (2, [1, 2]), (6, [1, 2, 4, 6]), (8, [1, 2, 4, 8])]
)
async def test_powers_of_two_and_the_largest_batch_are_tried(most: int, sizes: list[int]) -> None:
    worker = Timed(lambda _: 10.0, most)
    assert await lanes(worker) == most
    assert worker.sizes == [size for size in sizes for _ in range(STEPS)]


async def test_every_engine_gets_its_lanes_but_only_the_first_is_measured() -> None:
    first, second = Timed(lambda _: 10.0), Timed(lambda _: 10.0)
    assert await lanes(first, second) == 8
    assert (len(first.sizes), second.sizes) == (6, [])


async def test_what_has_no_room_is_not_measured_and_said(caplog: pytest.LogCaptureFixture) -> None:
    assert await lanes(Timed(lambda _: 10.0, room=3)) == 2
    warnings = [one.getMessage() for one in caplog.records if one.levelname == "WARNING"]
    assert warnings == ["batches of 4 frames are not measured: All sessions are taken."]


async def test_without_any_room_there_is_one_lane() -> None:
    assert await lanes(Timed(lambda _: 10.0, room=0)) == 1


async def test_a_step_of_another_size_says_nothing() -> None:
    """While streams are served, the frames may come in smaller steps than they were offered."""
    assert await lanes(Timed(lambda _: 10.0, together=2)) == 2


async def worked(on_step: Callable[[Sequence[Pixels]], None]) -> int:
    worker = Worker(lambda: FakeEngine(SPEC, on_step=on_step), backoff=0.001)
    await worker.start()
    try:
        found = await measure_lanes(worker)
        assert worker.sessions == 0
        return found
    finally:
        await worker.stop()


async def test_a_real_worker_whose_steps_take_equally_long_gets_all_lanes() -> None:
    assert await worked(lambda _: time.sleep(0.03)) == 4


async def test_an_engine_that_fails_costs_no_video_its_lane() -> None:
    def fail(_: Sequence[Pixels]) -> None:
        raise EngineFault("The device is out of memory.")

    async with asyncio.timeout(30):
        assert await worked(fail) == 1
