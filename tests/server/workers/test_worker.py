"""Sessions, scheduler and engine as a running loop."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from living import Fresh, without_collector
from watching import unbroken

from protocol import DropCause, DropPolicy
from server.engines.fake import FakeEngine, fake_spec
from server.errors import (
    Conflict,
    EngineDead,
    EngineFault,
    NoCapacity,
    NotFound,
    OutOfSequence,
)
from server.frame import Dropped, Frame, Labels, Mask, Pixels, ResetCause
from server.metrics import Metrics
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.workers.step_deadline import FIRST_SECONDS
from server.workers.worker import Worker, WorkerState

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(60)]

SPEC = fake_spec(16, 32)
POISON = np.full((16, 32, 3), 255, np.uint8)
OnStep = Callable[[Sequence[Pixels]], None]


class Notes(Sink):
    """Records the calls that it receives, in order."""

    def __init__(self) -> None:
        self.masks: list[Mask] = []
        self.drops: list[Dropped] = []
        self.failures: list[tuple[int, Exception]] = []

    def mask(self, mask: Mask) -> None:
        self.masks.append(mask)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        self.drops.extend(drops)

    def failed(self, seq: int, error: Exception) -> None:
        self.failures.append((seq, error))

    @property
    def labels(self) -> list[Labels]:
        return [mask.labels for mask in self.masks]

    @property
    def answered(self) -> list[int]:
        """The seqs of all answers, sorted."""
        masks = [mask.frame.seq for mask in self.masks]
        drops = [drop.seq for drop in self.drops]
        return sorted([*masks, *drops, *(seq for seq, _ in self.failures)])


class Gate:
    """Holds the engine in its step until it is opened; :meth:`entered` waits until it is there."""

    def __init__(self) -> None:
        self._inside = threading.Semaphore(0)
        self._open = threading.Event()

    def __call__(self, _: Sequence[Pixels]) -> None:
        self._inside.release()
        assert self._open.wait(30)

    async def entered(self) -> None:
        assert await asyncio.to_thread(self._inside.acquire, timeout=30)

    def open(self) -> None:
        self._open.set()


class Turnstile(Gate):
    """A gate that lets one step through at a time."""

    def __init__(self) -> None:
        super().__init__()
        self._tokens = threading.Semaphore(0)

    def __call__(self, _: Sequence[Pixels]) -> None:
        self._inside.release()
        assert self._tokens.acquire(timeout=30)

    def let_one_through(self) -> None:
        self._tokens.release()


@asynccontextmanager
async def serving(
    on_step: OnStep | None = None, *, max_batch: int = 4, **options: Any
) -> AsyncIterator[Worker]:
    worker = Worker(lambda: FakeEngine(SPEC, max_batch=max_batch, on_step=on_step), **options)
    await worker.start()
    try:
        yield worker
    finally:
        await worker.stop()


def opened(
    worker: Worker, policy: DropPolicy = DropPolicy.EVERY, **options: Any
) -> tuple[Session, Notes]:
    notes = Notes()
    return worker.open(notes, policy=policy, **{"window": 100, **options}), notes


def pictures(count: int, seed: int = 0) -> list[Pixels]:
    shape = (count, SPEC.height, SPEC.width, 3)
    return list(np.random.default_rng(seed).integers(0, 255, shape, np.uint8))


def offer(worker: Worker, session: Session, frames: Sequence[Pixels], first: int = 0) -> None:
    for seq, pixels in enumerate(frames, start=first):
        worker.offer(session, Frame(pixels, seq))


def expected(frames: Sequence[Pixels]) -> list[Labels]:
    """The masks of an unbroken stream of these frames."""
    return unbroken(SPEC, frames)


async def test_each_stream_gets_the_masks_that_its_frames_alone_give() -> None:
    async with serving() as worker:
        streams = [(*opened(worker), pictures(6, seed)) for seed in range(5)]
        for session, _, frames in streams:
            offer(worker, session, frames)
        for session, notes, frames in streams:
            await worker.settled(session)
            np.testing.assert_array_equal(notes.labels, expected(frames))
            assert [mask.frame.seq for mask in notes.masks] == list(range(6))
            assert [mask.filled for mask in notes.masks] == [0, 1, 2, 2, 2, 2]
            assert [mask.reset for mask in notes.masks] == [ResetCause.NEW, *[None] * 5]
        assert worker.spec == SPEC
        assert worker.provider == "fake"


async def test_frames_that_come_together_share_a_step() -> None:
    async with serving() as worker:
        streams = [opened(worker) for _ in range(3)]
        for session, _ in streams:
            offer(worker, session, pictures(1))
        for session, notes in streams:
            await worker.settled(session)
            assert [mask.batch for mask in notes.masks] == [3]


async def test_latest_loses_what_waited_behind_the_step() -> None:
    gate = Gate()
    async with serving(gate) as worker:
        session, notes = opened(worker, DropPolicy.LATEST)
        frames = pictures(4)
        offer(worker, session, frames[:1])
        await gate.entered()
        offer(worker, session, frames[1:], first=1)
        gate.open()
        await worker.settled(session)
        assert notes.drops == [Dropped(1, DropCause.NEWER), Dropped(2, DropCause.NEWER)]
        np.testing.assert_array_equal(notes.labels, expected([frames[0], frames[3]]))


async def test_a_frame_over_its_budget_is_reported_as_stale() -> None:
    gate, now = Gate(), [0.0]
    async with serving(gate, clock=lambda: now[0]) as worker:
        session, notes = opened(worker, budget=1.0)
        offer(worker, session, pictures(2))
        await gate.entered()
        now[0] = 2.0
        gate.open()
        await worker.settled(session)
        assert notes.drops == [Dropped(1, DropCause.STALE)]
        assert len(notes.masks) == 1


async def test_room_is_there_again_once_a_frame_is_answered() -> None:
    gate = Gate()
    async with serving(gate) as worker:
        session, notes = opened(worker, window=2)
        await worker.wait_for_room(session)
        offer(worker, session, pictures(2))
        room = asyncio.create_task(worker.wait_for_room(session))
        await gate.entered()
        assert not room.done()
        gate.open()
        await room
        assert notes.masks


async def test_while_a_frame_waits_newer_ones_are_wanted_as_its_step_comes_near() -> None:
    now, gate = [0.0], Turnstile()
    async with serving(gate, max_batch=1, clock=lambda: now[0]) as worker:
        (first, _), (session, notes) = opened(worker), opened(worker, DropPolicy.LATEST)
        frames = pictures(3)
        offer(worker, first, frames[:1])
        await gate.entered()
        offer(worker, session, frames[:1])
        now[0] = 3.0
        gate.let_one_through()
        await gate.entered()
        await worker.wait_until_wanted(session)
        offer(worker, session, frames[1:2], first=1)
        wanted = asyncio.create_task(worker.wait_until_wanted(session))
        await asyncio.sleep(0)
        assert not wanted.done()
        gate.let_one_through()
        await wanted
        assert session.waiting == 0 and not notes.drops
        await gate.entered()
        gate.let_one_through()
        await worker.settled(session)


async def test_a_session_that_ends_wants_nothing_more() -> None:
    now, gate = [0.0], Turnstile()
    async with serving(gate, max_batch=1, clock=lambda: now[0]) as worker:
        (first, _), (session, _) = opened(worker), opened(worker, DropPolicy.LATEST)
        offer(worker, first, pictures(1))
        await gate.entered()
        offer(worker, session, pictures(1))
        now[0] = 3.0
        gate.let_one_through()
        await gate.entered()
        offer(worker, session, pictures(1), first=1)
        wanted = asyncio.create_task(worker.wait_until_wanted(session))
        await asyncio.sleep(0)
        worker.close(session)
        await wanted
        gate.let_one_through()


async def test_a_client_reset_empties_the_memory_before_the_next_frame_offered() -> None:
    async with serving() as worker:
        session, notes = opened(worker)
        frames = pictures(5)
        offer(worker, session, frames[:2])
        worker.reset(session)
        offer(worker, session, frames[2:], first=2)
        await worker.settled(session)
        np.testing.assert_array_equal(notes.labels, [*expected(frames[:2]), *expected(frames[2:])])
        assert [mask.filled for mask in notes.masks] == [0, 1, 0, 1, 2]
        assert notes.masks[2].reset is ResetCause.CLIENT


async def test_replayed_frames_give_no_mask_and_bring_the_memory_back() -> None:
    async with serving() as worker:
        session, notes = opened(worker, DropPolicy.LATEST)
        frames = pictures(5)
        for seq in (1, 2):
            worker.offer(session, Frame(frames[seq], seq, replay=True))
        offer(worker, session, frames[3:4], first=3)
        await worker.settled(session)
        np.testing.assert_array_equal(notes.labels, expected(frames)[3:4])
        assert notes.answered == [3]


async def test_a_failed_step_fails_its_frame_and_leaves_the_memory() -> None:
    async with serving(fault_at_poison) as worker:
        session, notes = opened(worker)
        frames = pictures(4)
        offer(worker, session, [*frames[:2], POISON, *frames[2:]])
        await worker.settled(session)
        ((seq, error),) = notes.failures
        assert seq == 2
        assert isinstance(error, EngineFault)
        np.testing.assert_array_equal(notes.labels, expected(frames))
        assert worker.restarts == 0


async def test_in_a_failed_batch_only_the_frame_to_blame_fails() -> None:
    async with serving(fault_at_poison) as worker:
        streams = [(*opened(worker), pictures(4, seed)) for seed in range(3)]
        for session, _, frames in streams:
            offer(worker, session, frames[:2])
        ill, ill_notes, _ = streams[1]
        offer(worker, ill, [POISON], first=2)
        for session, _, frames in streams:
            offer(worker, session, frames[2:], first=3)
        for session, notes, frames in streams:
            await worker.settled(session)
            np.testing.assert_array_equal(notes.labels, expected(frames))
        assert [seq for seq, _ in ill_notes.failures] == [2]


def fault_at_poison(frames: Sequence[Pixels]) -> None:
    if any(frame is POISON for frame in frames):
        raise EngineFault("poisonous")


class Once:
    """Does something at the n-th step only, whichever engine makes it."""

    def __init__(self, step: int, act: Callable[[], None]) -> None:
        self._left = step
        self._act = act

    def __call__(self, _: Sequence[Pixels]) -> None:
        self._left -= 1
        if self._left == 0:
            self._act()


def die() -> None:
    raise EngineDead("as asked")


def break_down() -> None:
    raise ValueError("a mistake in the engine")


@pytest.mark.parametrize("how", [die, break_down])
@pytest.mark.parametrize("at", [1, 2, 4])
async def test_after_a_death_masks_equal_those_of_an_unbroken_run(
    how: Callable[[], None], at: int
) -> None:
    async with serving(Once(at, how)) as worker:
        streams = [(*opened(worker), pictures(6, seed)) for seed in range(3)]
        for session, _, frames in streams:
            offer(worker, session, frames)
        for session, notes, frames in streams:
            await worker.settled(session)
            np.testing.assert_array_equal(notes.labels, expected(frames))
            assert [mask.frame.seq for mask in notes.masks] == list(range(6))
            assert [mask.filled for mask in notes.masks] == [0, 1, 2, 2, 2, 2]
            assert [mask.reset for mask in notes.masks] == [ResetCause.NEW, *[None] * 5]
        assert worker.restarts == 1


async def test_an_engine_that_hangs_is_left_behind_and_its_late_result_ignored() -> None:
    """The late result comes while the next engine is in a step, which it must not answer."""

    released, closed, gate = threading.Event(), threading.Event(), Gate()
    frames, last = pictures(6), pictures(1, seed=9)[0]
    hanging = Once(4, lambda: assert_set(released))

    def on_step(given: Sequence[Pixels]) -> None:
        hanging(given)
        if given[0] is last:
            gate(given)

    class Closing(FakeEngine):
        def close(self) -> None:
            closed.set()

    worker = Worker(lambda: Closing(SPEC, on_step=on_step), step_deadline=0.5)
    await worker.start()
    session, notes = opened(worker)
    offer(worker, session, frames)
    await worker.settled(session)
    assert worker.restarts >= 1
    offer(worker, session, [last], first=6)
    await gate.entered()
    released.set()
    await asyncio.to_thread(assert_set, closed)
    gate.open()
    await worker.settled(session)
    await worker.stop()
    np.testing.assert_array_equal(notes.labels, expected([*frames, last]))
    assert notes.answered == list(range(7))


def assert_set(event: threading.Event) -> None:
    assert event.wait(30)


async def test_a_frame_that_kills_twice_fails_and_harms_nobody_else() -> None:
    def die_at_poison(frames: Sequence[Pixels]) -> None:
        if any(frame is POISON for frame in frames):
            die()

    async with serving(die_at_poison, backoff=0.01) as worker:
        streams = [(*opened(worker), pictures(5, seed)) for seed in range(3)]
        ill, ill_notes, _ = streams[0]
        for session, _, frames in streams:
            offer(worker, session, frames[:3])
        offer(worker, ill, [POISON], first=3)
        for session, _, frames in streams:
            offer(worker, session, frames[3:], first=4)
        for session, notes, frames in streams:
            await worker.settled(session)
            np.testing.assert_array_equal(notes.labels, expected(frames))
        ((seq, error),) = ill_notes.failures
        assert seq == 3
        assert isinstance(error, EngineDead)
        assert worker.restarts == 2


async def test_a_memory_without_horizon_is_lost_and_the_stream_is_told() -> None:
    spec = replace(SPEC, memory_horizon=None)
    on_step = Once(3, die)
    worker = Worker(lambda: FakeEngine(spec, on_step=on_step))
    await worker.start()
    session, notes = opened(worker)
    frames = pictures(4)
    offer(worker, session, frames)
    await worker.settled(session)
    await worker.stop()
    resets = [mask.reset for mask in notes.masks]
    assert resets == [ResetCause.NEW, None, ResetCause.ENGINE, None]
    np.testing.assert_array_equal(notes.labels, [*expected(frames[:2]), *expected(frames[2:])])


async def test_a_restart_that_fails_is_tried_again() -> None:
    on_step, made = Once(2, die), [0]

    def make() -> FakeEngine:
        made[0] += 1
        if made[0] == 2:
            raise OSError("the device is not back yet")
        return FakeEngine(SPEC, on_step=on_step)

    worker = Worker(make, backoff=0.01)
    await worker.start()
    session, notes = opened(worker)
    frames = pictures(4)
    offer(worker, session, frames)
    await worker.settled(session)
    await worker.stop()
    np.testing.assert_array_equal(notes.labels, expected(frames))
    assert made == [3]
    assert worker.restarts == 1


async def test_while_the_engine_restarts_it_is_not_ready_and_frames_wait() -> None:
    on_step, back, made = Once(1, die), threading.Event(), [0]
    restarting = threading.Event()

    def make() -> FakeEngine:
        made[0] += 1
        if made[0] == 2:
            restarting.set()
            assert back.wait(30)
        return FakeEngine(SPEC, on_step=on_step)

    worker = Worker(make)
    await worker.start()
    assert worker.ready
    session, notes = opened(worker)
    offer(worker, session, pictures(1))
    assert await asyncio.to_thread(restarting.wait, 30)
    assert not worker.ready
    assert worker.state is WorkerState.SERVING
    assert (notes.answered, session.unanswered) == ([], 1)
    back.set()
    await worker.settled(session)
    assert worker.ready
    assert notes.answered == [0]
    await worker.stop()


async def test_starting_raises_what_making_the_engine_raised() -> None:
    def make() -> FakeEngine:
        raise NotFound("no such model")

    worker = Worker(make)
    with pytest.raises(NotFound, match="no such model"):
        await worker.start()
    assert not worker.ready
    with pytest.raises(NoCapacity):
        opened(worker)
    await worker.stop()


async def test_no_more_sessions_than_it_takes_and_a_closed_one_makes_room() -> None:
    async with serving(max_sessions=2) as worker:
        session, _ = opened(worker)
        opened(worker)
        with pytest.raises(NoCapacity, match="All 2 sessions"):
            opened(worker)
        worker.close(session)
        worker.close(session)
        opened(worker)


async def test_a_full_worker_may_be_made_room_in() -> None:
    async with serving(max_sessions=1) as worker:
        session, _ = opened(worker)

        def make_room() -> bool:
            was_open = not session.closed
            worker.close(session)
            return was_open

        worker.make_room = make_room
        opened(worker)
        with pytest.raises(NoCapacity):
            opened(worker)
        assert session.closed and worker.sessions == 1
        worker.make_room = lambda: False  # breaks the cycle that keeps the session alive


async def test_a_frame_that_is_refused_is_not_taken() -> None:
    async with serving() as worker:
        session, notes = opened(worker)
        offer(worker, session, pictures(1), first=5)
        with pytest.raises(OutOfSequence):
            offer(worker, session, pictures(1), first=5)
        with pytest.raises(AssertionError):
            worker.offer(session, Frame(np.zeros((2, 2, 3), np.uint8), 6))
        await worker.settled(session)
        worker.close(session)
        with pytest.raises(Conflict):
            offer(worker, session, pictures(1), first=7)
        assert notes.answered == [5]


async def test_closing_drops_what_waits_and_still_answers_the_step_under_way() -> None:
    gate = Gate()
    async with serving(gate) as worker:
        session, notes = opened(worker)
        offer(worker, session, pictures(3))
        await gate.entered()
        worker.close(session)
        assert notes.drops == [Dropped(1, DropCause.STALE), Dropped(2, DropCause.STALE)]
        await worker.wait_for_room(session)
        settled = asyncio.create_task(worker.settled(session))
        gate.open()
        await settled
        assert notes.answered == [0, 1, 2]


@pytest.mark.parametrize("fault", [EngineFault("as asked"), EngineDead("as asked")])
async def test_a_session_closed_in_a_step_that_fails_is_answered(fault: EngineFault) -> None:
    gate = Gate()

    def fail_in_the_first_batch(frames: Sequence[Pixels]) -> None:
        gate(frames)
        if len(frames) == 2:
            raise fault

    async with serving(fail_in_the_first_batch) as worker:
        (leaving, leaving_notes), (staying, notes) = opened(worker), opened(worker)
        offer(worker, leaving, pictures(1))
        offer(worker, staying, pictures(1))
        await gate.entered()
        worker.close(leaving)
        gate.open()
        await worker.settled(staying)
        await worker.settled(leaving)
        assert [seq for seq, _ in leaving_notes.failures] == [0]
        assert [mask.frame.seq for mask in notes.masks] == [0]


@pytest.mark.parametrize("fault", [None, EngineFault("as asked"), EngineDead("as asked")])
async def test_a_closed_session_is_freed_once_its_last_frame_is_answered(
    fault: EngineFault | None,
) -> None:
    gate = Gate()

    def step(frames: Sequence[Pixels]) -> None:
        gate(frames)
        if fault:
            raise fault

    async with serving(step) as worker:
        session, notes = opened(worker)
        offer(worker, session, pictures(2))
        await gate.entered()
        worker.close(session)
        assert worker.holds(session), "its frame is in a step"
        gate.open()
        await worker.settled(session)
        assert notes.answered == [0, 1]
        assert not worker.holds(session)
        worker.close(session)
        await worker.wait_for_room(session)
        await worker.settled(session)
        with pytest.raises(Conflict):
            offer(worker, session, pictures(1), first=2)


async def test_sessions_that_come_and_go_leave_nothing_behind() -> None:
    fresh = Fresh(Session, Notes, Mask, Frame)
    with without_collector():
        async with serving() as worker:
            for _ in range(100):
                session, _ = opened(worker)
                offer(worker, session, pictures(2))
                await worker.settled(session)
                worker.close(session)
            del session, _
            assert fresh.alive() == {}


async def test_stopping_leaves_a_hung_step_behind_and_answers_its_frames() -> None:
    gate = Gate()
    async with serving(gate) as worker:
        session, notes = opened(worker)
        offer(worker, session, pictures(2))
        await gate.entered()
        await worker.stop(timeout=0.01)
        await worker.stop(timeout=0.01)
        assert notes.answered == [0, 1]
        assert isinstance(notes.failures[0][1], EngineDead)
        gate.open()
    assert notes.answered == [0, 1]
    assert worker.state is WorkerState.STOPPED


async def test_stopping_closes_the_engine_in_its_thread() -> None:
    closed: list[str] = []

    class Closing(FakeEngine):
        def close(self) -> None:
            closed.append(threading.current_thread().name)

    worker = Worker(lambda: Closing(SPEC))
    await worker.start()
    await worker.stop()
    assert closed == ["engine"]


async def test_a_sink_that_raises_harms_nobody() -> None:
    class Broken(Notes):
        def mask(self, mask: Mask) -> None:
            super().mask(mask)
            raise RuntimeError("this sink is broken")

    async with serving() as worker:
        broken = Broken()
        ill = worker.open(broken, policy=DropPolicy.EVERY, window=9)
        session, notes = opened(worker)
        offer(worker, ill, pictures(3))
        offer(worker, session, pictures(3))
        await worker.settled(session)
        await worker.settled(ill)
        np.testing.assert_array_equal(notes.labels, expected(pictures(3)))
        assert len(broken.masks) == 3


async def test_a_sink_may_close_sessions_while_answers_are_handed_on() -> None:
    async with serving() as worker:
        streams: list[tuple[Session, Notes]] = []

        class Closing(Notes):
            def mask(self, mask: Mask) -> None:
                super().mask(mask)
                for session, _ in streams:
                    worker.close(session)

        sinks = (Closing(), Closing())
        streams += [(worker.open(s, policy=DropPolicy.EVERY, window=9), s) for s in sinks]
        for session, _ in streams:
            offer(worker, session, pictures(3))
        for session, _ in streams:
            await worker.settled(session)
    for _, notes in streams:
        assert notes.answered == [0, 1, 2]
        assert notes.masks


async def test_an_engine_that_dies_while_stopping_is_not_made_again() -> None:
    made, gate = [0], Gate()

    def make() -> FakeEngine:
        made[0] += 1
        return FakeEngine(SPEC, on_step=die_behind(gate))

    worker = Worker(make)
    await worker.start()
    session, notes = opened(worker)
    offer(worker, session, pictures(1))
    await gate.entered()
    stopped = asyncio.create_task(worker.stop(30))
    await asyncio.sleep(0)
    gate.open()
    await stopped
    for _ in range(10):
        await asyncio.sleep(0)
    assert notes.answered == [0]
    assert made == [1]


def die_behind(gate: Gate) -> OnStep:
    def on_step(frames: Sequence[Pixels]) -> None:
        gate(frames)
        die()

    return on_step


async def test_sixteen_streams_are_served_in_turn() -> None:
    gate, order = Gate(), list[int]()

    class Ordered(Notes):
        def __init__(self, number: int) -> None:
            super().__init__()
            self._number = number

        def mask(self, mask: Mask) -> None:
            super().mask(mask)
            order.append(self._number)

    async with serving(gate, max_batch=4) as worker:
        sinks = [Ordered(number) for number in range(16)]
        sessions = [worker.open(sink, policy=DropPolicy.EVERY, window=9) for sink in sinks]
        for seed, session in enumerate(sessions):
            offer(worker, session, pictures(5, seed))
        gate.open()
        for seed, (session, sink) in enumerate(zip(sessions, sinks, strict=True)):
            await worker.settled(session)
            np.testing.assert_array_equal(sink.labels, expected(pictures(5, seed)))
            assert {mask.batch for mask in sink.masks} == {4}
    rounds = [order[start : start + 16] for start in range(0, len(order), 16)]
    assert [sorted(served) for served in rounds] == [list(range(16))] * 5


async def test_the_age_of_the_last_step_grows_only_while_there_is_work() -> None:
    gate, now = Gate(), [100.0]
    async with serving(gate, clock=lambda: now[0]) as worker:
        session, notes = opened(worker)
        now[0] = 500.0
        assert worker.last_step_age(now[0]) == 0.0
        offer(worker, session, pictures(1))
        await gate.entered()
        now[0] = 507.0
        assert worker.last_step_age(now[0]) == 7.0
        gate.open()
        await worker.settled(session)
        assert worker.last_step_age(now[0]) == 0.0
        (mask,) = notes.masks
        assert (mask.times.queue, mask.times.step) == (0.0, 7000.0)


async def test_what_happens_is_measured() -> None:
    metrics = Metrics()
    async with serving(Once(2, die), metrics=metrics) as worker:
        session, _ = opened(worker)
        offer(worker, session, pictures(2))
        await worker.settled(session)
        text = metrics.render().decode()
    assert 'mastream_frames_total{cause="",result="segmented"} 2.0' in text
    assert 'mastream_memory_resets_total{cause="new"} 1.0' in text
    assert "mastream_engine_restarts_total 1.0" in text
    assert 'mastream_sessions{state="idle"} 1.0' in text
    assert f"mastream_session_memory_bytes {float(SPEC.memory_bytes)}" in text
    for stage in ("queue", "gather", "step", "scatter"):
        assert f'mastream_stage_seconds_count{{stage="{stage}"}}' in text


@settings(max_examples=20, deadline=None)
@given(
    policy=st.sampled_from(DropPolicy),
    actions=st.lists(
        st.tuples(
            st.integers(0, 2), st.sampled_from(["offer", "offer", "reset", "poison", "pause"])
        ),
        max_size=30,
    ),
    faults=st.dictionaries(st.integers(1, 20), st.sampled_from([die, break_down]), max_size=2),
)
async def test_every_frame_is_answered_once_under_any_schedule(
    policy: DropPolicy,
    actions: list[tuple[int, str]],
    faults: dict[int, Callable[[], None]],
) -> None:
    steps = [0]

    def on_step(frames: Sequence[Pixels]) -> None:
        steps[0] += 1
        if fault := faults.get(steps[0]):
            fault()
        fault_at_poison(frames)

    async with serving(on_step, max_batch=2, backoff=0.001) as worker:
        streams = [opened(worker, policy, window=3) for _ in range(3)]
        offered: list[list[int]] = [[], [], []]
        for seq, (index, action) in enumerate(actions):
            session, _ = streams[index]
            if action == "pause":
                await worker.wait_for_room(session)
            elif action == "reset":
                worker.reset(session)
            else:
                pixels = POISON if action == "poison" else pictures(1, seq)[0]
                worker.offer(session, Frame(pixels, seq))
                offered[index].append(seq)
        for (session, notes), seqs in zip(streams, offered, strict=True):
            await worker.settled(session)
            assert notes.answered == seqs
            assert session.counts.offered == len(seqs)
            assert [m.frame.seq for m in notes.masks] == sorted(m.frame.seq for m in notes.masks)


async def test_what_waited_for_a_client_that_left_is_no_loss_of_ours() -> None:
    gate, metrics = Gate(), Metrics()
    async with serving(gate, metrics=metrics) as worker:
        session, notes = opened(worker)
        offer(worker, session, pictures(3))
        await gate.entered()
        worker.close(session)
        gate.open()
        await worker.settled(session)
        assert notes.answered == [0, 1, 2]
        text = metrics.render().decode()
    assert 'mastream_frames_total{cause="",result="left"} 2.0' in text
    assert "stale" not in text


async def test_a_hung_step_is_noticed_soon_once_the_steps_are_known_to_be_quick() -> None:
    released = threading.Event()
    async with serving(Once(2, lambda: assert_set(released))) as worker:
        session, notes = opened(worker)
        offer(worker, session, pictures(1))
        await worker.settled(session)
        offer(worker, session, pictures(1), first=1)
        async with asyncio.timeout(FIRST_SECONDS / 2):
            await worker.settled(session)
        released.set()
        assert worker.restarts == 1 and [mask.filled for mask in notes.masks] == [0, 1]


class Making:
    """Makes an engine once the test allows it; :meth:`begun` waits until it has been called."""

    def __init__(self, make: Callable[[], FakeEngine]) -> None:
        self._make = make
        self._asked = threading.Event()
        self._may = threading.Event()

    def __call__(self) -> FakeEngine:
        self._asked.set()
        assert self._may.wait(30)
        return self._make()

    async def begun(self) -> None:
        assert await asyncio.to_thread(self._asked.wait, 30)

    def allow(self) -> None:
        self._may.set()


async def successor_waits(worker: Worker) -> None:
    while not worker._engine._successor_waits:  # noqa: ASYNC110  nobody else awaits it
        await asyncio.sleep(0)


def better(on_step: OnStep | None = None) -> FakeEngine:
    engine = FakeEngine(SPEC, max_batch=2, on_step=on_step)
    engine.provider = "better"
    return engine


async def test_an_engine_is_replaced_between_two_steps_and_no_frame_is_lost() -> None:
    gate, making = Gate(), Making(better)
    async with serving(gate) as worker:
        streams = [(*opened(worker), pictures(8, seed)) for seed in range(3)]
        replaced = asyncio.create_task(worker.replace_engine(making))
        await making.begun()
        for session, _, frames in streams:
            offer(worker, session, frames[:4])
        await gate.entered()
        making.allow()
        await successor_waits(worker)
        assert worker.provider == "fake"
        gate.open()
        await replaced
        assert worker.provider == "better"
        assert worker.ready
        for session, _, frames in streams:
            offer(worker, session, frames[4:], first=4)
        for session, notes, frames in streams:
            await worker.settled(session)
            np.testing.assert_array_equal(notes.labels, expected(frames))
            assert notes.answered == list(range(8))
            assert [mask.filled for mask in notes.masks] == [0, 1, *[2] * 6]
        assert {mask.batch for _, notes, _ in streams for mask in notes.masks[4:]} <= {1, 2}
        assert worker.restarts == 0


async def test_the_engine_that_was_replaced_is_closed() -> None:
    closed = threading.Event()

    class Closing(FakeEngine):
        def close(self) -> None:
            closed.set()

    worker = Worker(lambda: Closing(SPEC))
    await worker.start()
    session, notes = opened(worker)
    offer(worker, session, pictures(3))
    await worker.settled(session)
    await worker.replace_engine(better)
    await asyncio.to_thread(assert_set, closed)
    offer(worker, session, pictures(5)[3:], first=3)
    await worker.settled(session)
    np.testing.assert_array_equal(notes.labels, expected(pictures(5)))
    await worker.stop()


def another_model() -> FakeEngine:
    return FakeEngine(fake_spec(32, 32))


def not_here() -> FakeEngine:
    raise NotFound("there is no such GPU")


@pytest.mark.parametrize(
    ("make", "error"), [(not_here, NotFound("no such GPU")), (another_model, Conflict("model"))]
)
async def test_an_engine_that_cannot_take_over_leaves_the_old_one_serving(
    make: Callable[[], FakeEngine], error: Exception
) -> None:
    async with serving() as worker:
        session, notes = opened(worker)
        frames = pictures(4)
        offer(worker, session, frames[:2])
        await worker.settled(session)
        with pytest.raises(type(error), match=str(error)):
            await worker.replace_engine(make)
        offer(worker, session, frames[2:], first=2)
        await worker.settled(session)
        np.testing.assert_array_equal(notes.labels, expected(frames))
        assert worker.provider == "fake"


async def test_two_engines_are_not_made_at_once() -> None:
    making = Making(better)
    async with serving() as worker:
        first = asyncio.create_task(worker.replace_engine(making))
        await making.begun()
        with pytest.raises(Conflict, match="being made already"):
            await worker.replace_engine(better)
        making.allow()
        await first
        assert worker.provider == "better"


async def test_an_engine_that_dies_while_its_successor_waits_is_succeeded_by_it() -> None:
    gate, making = Gate(), Making(better)
    async with serving(die_behind(gate)) as worker:
        replaced = asyncio.create_task(worker.replace_engine(making))
        await making.begun()
        session, notes = opened(worker)
        offer(worker, session, pictures(3))
        await gate.entered()
        making.allow()
        await successor_waits(worker)
        gate.open()
        await replaced
        await worker.settled(session)
        np.testing.assert_array_equal(notes.labels, expected(pictures(3)))
        assert (worker.provider, worker.restarts) == ("better", 0)


async def test_an_engine_that_took_over_comes_again_when_it_dies() -> None:
    once = Once(2, die)
    async with serving() as worker:
        session, notes = opened(worker)
        await worker.replace_engine(lambda: better(once))
        offer(worker, session, pictures(4))
        await worker.settled(session)
        np.testing.assert_array_equal(notes.labels, expected(pictures(4)))
        assert (worker.provider, worker.restarts) == ("better", 1)


@pytest.mark.parametrize("error", [NotFound("there is no plan"), RuntimeError("CUDA, 2")])
async def test_one_that_took_over_and_is_not_made_again_gives_way_to_the_one_before(
    error: Exception,
) -> None:
    once = Once(2, die)
    makers = [lambda: better(once)]

    def make() -> FakeEngine:
        if not makers:
            raise error
        return makers.pop()()

    async with serving() as worker:
        session, notes = opened(worker)
        await worker.replace_engine(make)
        offer(worker, session, pictures(4))
        await worker.settled(session)
        np.testing.assert_array_equal(notes.labels, expected(pictures(4)))
        (built,) = worker.engines
        assert (built.provider, built.passed_over) == ("fake", (str(error),))
        assert worker.restarts == 1


async def test_an_engine_that_is_being_made_is_left_behind_in_time() -> None:
    making = Making(better)
    async with serving() as worker:
        replaced = asyncio.create_task(worker.replace_engine(making))
        await making.begun()
        await worker.stop(0.01)
        with pytest.raises(EngineDead, match="stopped"):
            await replaced
        making.allow()


class Noting(FakeEngine):
    """Records whether it was closed."""

    def __init__(self) -> None:
        super().__init__(SPEC)
        self.provider = "noting"
        self.closed = threading.Event()

    def close(self) -> None:
        self.closed.set()


async def test_a_replacement_that_is_cancelled_leaves_the_engine_that_serves() -> None:
    made = Noting()
    making = Making(lambda: made)
    async with serving() as worker:
        replaced = asyncio.create_task(worker.replace_engine(making))
        await making.begun()
        replaced.cancel()
        with pytest.raises(asyncio.CancelledError):
            await replaced
        making.allow()
        await asyncio.to_thread(assert_set, made.closed)
        assert worker.provider == "fake"
        await worker.replace_engine(better)
        assert worker.provider == "better"


@pytest.mark.parametrize("cancelled", [False, True])
async def test_stopping_waits_until_an_engine_that_is_being_made_is_closed(cancelled: bool) -> None:
    made = Noting()
    making = Making(lambda: made)
    async with serving() as worker:
        replaced = asyncio.create_task(worker.replace_engine(making))
        await making.begun()
        if cancelled:
            replaced.cancel()
            await asyncio.wait([replaced])
        # Later than stopping takes that does not wait for it.
        asyncio.get_running_loop().call_later(0.2, making.allow)
        await worker.stop(30)
        assert made.closed.is_set()
        await asyncio.wait([replaced])
        assert replaced.cancelled() or isinstance(replaced.exception(), EngineDead)
