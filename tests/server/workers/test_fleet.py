"""Several workers as one: where sessions are placed, and which ones a dead engine affects."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest
from prometheus_client.parser import text_string_to_metric_families
from watching import unbroken

from protocol import DropPolicy
from server.engines.fake import FakeEngine, fake_spec
from server.errors import Draining, EngineDead, NoCapacity, NotFound
from server.frame import AnyPixels, Dropped, Frame, Labels, Mask, Pixels
from server.metrics import Metrics
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.workers.fleet import Fleet
from server.workers.worker import Worker, WorkerState

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SPEC = fake_spec(16, 32)
OnStep = Callable[[Sequence[AnyPixels]], None]


class Notes(Sink):
    """Keeps the labels that it receives, and all errors."""

    def __init__(self) -> None:
        self.labels: list[Labels] = []
        self.lost: list[object] = []

    def mask(self, mask: Mask) -> None:
        self.labels.append(mask.labels)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        self.lost.extend(drops)

    def failed(self, seq: int, error: Exception) -> None:
        self.lost.append((seq, error))


def engine(number: int, on_step: OnStep | None = None) -> FakeEngine:
    """An engine that says it is on the GPU of this number."""
    made = FakeEngine(SPEC, on_step=on_step)
    made.device = f"cuda:{number} fake GPU"
    return made


def fleet(*on_steps: OnStep | None, max_sessions: int = 8, metrics: Metrics | None = None) -> Fleet:
    """One worker for each."""
    workers = [
        Worker(
            lambda number=number, on_step=on_step: engine(number, on_step),  # type: ignore[misc]
            max_sessions=max_sessions,
            metrics=metrics,
            backoff=0.01,
        )
        for number, on_step in enumerate(on_steps)
    ]
    return Fleet(workers, max_sessions=max_sessions)


def opened(served: Fleet) -> tuple[Session, Notes]:
    notes = Notes()
    return served.open(notes, policy=DropPolicy.EVERY, window=100), notes


def pictures(count: int, seed: int = 0) -> list[Pixels]:
    shape = (count, SPEC.height, SPEC.width, 3)
    return list(np.random.default_rng(seed).integers(0, 255, shape, np.uint8))


def offer(served: Fleet, session: Session, frames: Sequence[Pixels]) -> None:
    first = -1 if session.last_seq is None else session.last_seq
    for seq, pixels in enumerate(frames, start=first + 1):
        served.offer(session, Frame(pixels, seq))


def counts(served: Fleet) -> list[int]:
    return [worker.sessions for worker in served.workers]


async def test_sessions_are_placed_where_there_is_room() -> None:
    served = fleet(None, None, None)
    await served.start()
    sessions = [opened(served)[0] for _ in range(7)]
    assert counts(served) == [3, 2, 2]
    for session in sessions[1::3]:
        served.close(session)
        served.close(session)
    assert counts(served) == [3, 0, 2]
    opened(served)
    assert counts(served) == [3, 1, 2]
    await served.stop()


async def test_each_stream_gets_the_masks_that_its_frames_alone_give() -> None:
    served = fleet(None, None)
    await served.start()
    streams = [(*opened(served), pictures(5, seed)) for seed in range(5)]
    for session, _, frames in streams:
        await served.wait_for_room(session)
        offer(served, session, frames)
    for session, notes, frames in streams:
        await served.settled(session)
        np.testing.assert_array_equal(notes.labels, unbroken(SPEC, frames))
    served.reset(streams[0][0])
    offer(served, streams[0][0], pictures(2, seed=9))
    await served.settled(streams[0][0])
    np.testing.assert_array_equal(streams[0][1].labels[5:], unbroken(SPEC, pictures(2, seed=9)))
    assert [built.device for built in served.engines] == ["cuda:0 fake GPU", "cuda:1 fake GPU"]
    assert served.spec == SPEC
    await served.stop()


async def test_no_more_sessions_than_it_takes_in_all() -> None:
    served = fleet(None, None, max_sessions=3)
    await served.start()
    for _ in range(3):
        opened(served)
    with pytest.raises(NoCapacity, match="All 3 sessions"):
        opened(served)
    await served.stop()
    with pytest.raises(Draining):
        opened(served)


async def test_a_full_fleet_may_be_made_room_in() -> None:
    served = fleet(None, None, max_sessions=2)
    await served.start()
    sessions = [opened(served)[0] for _ in range(2)]

    def make_room() -> bool:
        session = sessions.pop() if sessions else None
        if session:
            served.close(session)
        return session is not None

    served.make_room = make_room
    for _ in range(2):
        opened(served)
    with pytest.raises(NoCapacity):
        opened(served)
    served.make_room = lambda: False  # breaks the cycle that keeps the sessions alive
    await served.stop()


async def test_an_engine_that_dies_takes_only_its_own_memories_along() -> None:
    steps: dict[int, int] = {0: 0, 1: 0}

    def counting(number: int, dies_at: int | None) -> OnStep:
        def on_step(_: Sequence[AnyPixels]) -> None:
            steps[number] += 1
            if steps[number] == dies_at:
                raise EngineDead("as asked")

        return on_step

    served = fleet(counting(0, 3), counting(1, None))
    await served.start()
    streams = [(*opened(served), pictures(6, seed)) for seed in range(2)]
    for session, _, frames in streams:
        offer(served, session, frames)
    for session, notes, frames in streams:
        await served.settled(session)
        np.testing.assert_array_equal(notes.labels, unbroken(SPEC, frames))
        assert not notes.lost
    assert [worker.restarts for worker in served.workers] == [1, 0]
    # The dead one's: six frames, one tried again, two replayed. The other's: six.
    assert steps == {0: 9, 1: 6}
    await served.stop()


async def test_while_one_engine_restarts_the_others_take_new_sessions() -> None:
    back, restarting, made = threading.Event(), threading.Event(), [0]

    def die(_: Sequence[AnyPixels]) -> None:
        if made[0] == 1:
            raise EngineDead("as asked")

    def make() -> FakeEngine:
        made[0] += 1
        if made[0] > 1:
            restarting.set()
            assert back.wait(30)
        return engine(0, die)

    served = Fleet([Worker(make), Worker(lambda: engine(1))], max_sessions=8)
    await served.start()
    session, notes = opened(served)
    offer(served, session, pictures(1))
    assert await asyncio.to_thread(restarting.wait, 30)
    assert served.ready
    for _ in range(3):
        opened(served)
    assert counts(served) == [1, 3]
    back.set()
    await served.settled(session)
    assert not notes.lost
    await served.stop()
    assert not served.ready


async def test_the_cpu_needs_no_second_engine() -> None:
    started: list[int] = []

    def make(number: int) -> FakeEngine:
        started.append(number)
        return FakeEngine(SPEC)

    workers = [Worker(lambda: make(0)), Worker(lambda: make(1))]
    served = Fleet(workers, max_sessions=8)
    await served.start()
    assert (started, len(served.engines)) == ([0], 1)
    assert served.state is WorkerState.SERVING
    await served.stop()


async def test_a_gpu_that_fails_to_start_is_reported() -> None:
    def fail() -> FakeEngine:
        raise NotFound("there is no GPU 1")

    served = Fleet([Worker(lambda: engine(0)), Worker(fail)], max_sessions=8)
    assert served.state is WorkerState.STARTING
    with pytest.raises(NoCapacity, match="started"):
        opened(served)
    with pytest.raises(NotFound, match="no GPU 1"):
        await served.start()
    assert not served.ready
    await served.stop()


async def test_the_metrics_are_those_of_all_workers_together() -> None:
    metrics = Metrics()
    served = fleet(None, None, metrics=metrics)
    await served.start()
    for seed in range(3):
        session, _ = opened(served)
        offer(served, session, pictures(2, seed))
        await served.settled(session)
    found = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in text_string_to_metric_families(metrics.render().decode())
        for sample in family.samples
    }
    assert found["mastream_sessions", "idle"] == 3
    assert found["mastream_session_memory_bytes",] == 3 * SPEC.memory_bytes
    assert found["mastream_frames_total", "", "segmented"] == 6
    for number in range(2):
        labels = (f"cuda:{number} fake GPU", "fake", "fake")
        assert found["mastream_engine_info", *labels] == 1
    await served.stop()
