"""Resuming: which sessions a token finds, and in which state."""

from __future__ import annotations

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass

import numpy as np
import pytest

from protocol import DropPolicy, MemoryState
from server.engines.fake import FakeEngine, fake_spec
from server.errors import NoCapacity
from server.frame import Frame
from server.metrics import Metrics
from server.scheduling.session import SessionState
from server.settings import StreamSettings
from server.streams.outbox import Outbox
from server.streams.resuming import Resumable, Resuming
from server.workers.worker import Worker

pytestmark = pytest.mark.anyio


@dataclass
class Scene:
    resuming: Resuming
    worker: Worker
    metrics: Metrics
    now: float = 0.0

    def opened(self, frames: int = 1) -> Resumable:
        one = self.resuming.open(DropPolicy.EVERY, None)
        one.log.attach(Outbox(8))
        for seq in range(frames):
            one.log.offered(seq)
            self.worker.offer(one.session, Frame(np.zeros((16, 16, 3), np.uint8), seq))
        return one


@asynccontextmanager
async def scene(most: int = 2, **settings: float) -> AsyncIterator[Scene]:
    metrics = Metrics()
    worker = Worker(lambda: FakeEngine(fake_spec(16, 16)), max_sessions=most, metrics=metrics)
    await worker.start()
    limits = StreamSettings(max_sessions=most, **settings)  # type: ignore[arg-type]
    found = Scene(Resuming(worker, limits, metrics, lambda: found.now), worker, metrics)
    worker.make_room = found.resuming.make_room
    try:
        yield found
    finally:
        found.resuming.stop()
        worker.make_room = lambda: False
        await worker.stop()


async def test_a_parked_session_is_found_intact_once() -> None:
    async with scene() as at:
        one = at.opened()
        at.resuming.park(one)
        assert one.session.state is SessionState.PARKED
        assert at.resuming.claim(one.token) == (one, MemoryState.INTACT)
        assert one.session.state is not SessionState.PARKED
        text = at.metrics.render().decode()
        assert 'mastream_resumes_total{memory="intact"} 1.0' in text


@pytest.mark.parametrize("token", ["", "nobody's"])
async def test_an_unknown_token_is_cold(token: str) -> None:
    async with scene() as at:
        assert at.resuming.claim(token) == (None, MemoryState.COLD)


async def test_a_session_is_closed_when_its_time_is_up() -> None:
    async with scene() as at:
        one = at.opened()
        at.resuming.park(one)
        at.now = 30.0
        assert at.resuming.claim(one.token) == (None, MemoryState.COLD)
        at.resuming.park(at.opened())
        assert one.session.closed


async def test_nothing_waits_without_a_frame_or_with_resuming_off() -> None:
    async with scene() as at:
        one = at.opened(frames=0)
        at.resuming.park(one)
        assert one.session.closed
    async with scene(resume_seconds=0) as at:
        one = at.opened()
        at.resuming.park(one)
        assert one.session.closed and not at.resuming.is_on


async def test_the_oldest_parked_session_makes_room_for_a_new_stream() -> None:
    async with scene() as at:
        first, second = at.opened(), at.opened()
        with pytest.raises(NoCapacity):
            at.opened()
        at.resuming.park(first)
        at.resuming.park(second)
        at.opened()
        assert (first.session.closed, second.session.closed) == (True, False)


async def test_a_session_that_another_socket_has_is_taken_from_it() -> None:
    async with scene() as at:
        one = at.opened()
        one.hand_over = lambda: at.resuming.park(one)
        assert at.resuming.claim(one.token) == (one, MemoryState.INTACT)


async def test_a_memory_lost_with_its_engine_is_rebuilt() -> None:
    async with scene() as at:
        one = at.opened()
        await at.worker.settled(one.session)
        at.resuming.park(one)
        await at.worker.replace_engine(lambda: FakeEngine(fake_spec(16, 16)))
        assert at.resuming.claim(one.token) == (one, MemoryState.REBUILT)


async def test_a_memory_that_cannot_be_rebuilt_is_cold() -> None:
    async with scene() as at:
        one = at.opened()
        await at.worker.settled(one.session)
        one.session.horizon = None
        at.resuming.park(one)
        await at.worker.replace_engine(lambda: FakeEngine(fake_spec(16, 16)))
        assert at.resuming.claim(one.token) == (None, MemoryState.COLD)
        assert one.session.closed


@pytest.mark.parametrize(
    ("seqs", "found"), [((3, 4, 5), [False, True, False]), ((9, 10), [True, True]), ((3,), [False])]
)
async def test_a_reset_that_no_frame_has_used_goes_to_the_next(
    seqs: tuple[int, ...], found: list[bool]
) -> None:
    async with scene() as at:
        one = at.opened()
        one.resets = (4, 10) if len(seqs) == 2 else (4,)
        assert [one.take_reset(seq) for seq in seqs] == found


async def test_what_waits_is_closed_when_the_service_stops() -> None:
    async with scene() as at:
        one = at.opened()
        at.resuming.park(one)
        at.resuming.stop()
        assert one.session.closed
        assert at.resuming.claim(one.token) == (None, MemoryState.COLD)


async def test_tokens_are_long_and_never_the_same() -> None:
    async with scene(most=8) as at:
        tokens = {at.opened(0).token for _ in range(8)}
        assert len(tokens) == 8 and {len(token) for token in tokens} == {22}
