"""How long to wait after a death, and which models can follow each other."""

from __future__ import annotations

import asyncio
from dataclasses import replace

import pytest

from server.engines.fake import FakeEngine, fake_spec
from server.errors import Conflict
from server.workers.engine_thread import EngineThread, Report
from server.workers.succession import MAX_BACKOFF, Restarts, Successor, is_compatible

pytestmark = pytest.mark.anyio


def test_the_first_restart_is_at_once_and_the_next_ones_wait_twice_as_long() -> None:
    restarts = Restarts(backoff=0.5)
    assert [restarts.delay() for _ in range(5)] == [0.0, 0.5, 1.0, 2.0, 4.0]
    assert max(restarts.delay() for _ in range(20)) == MAX_BACKOFF
    restarts.succeeded()
    assert [restarts.delay(), restarts.delay()] == [0.0, 0.5]


def test_precision_may_change_and_what_streams_see_may_not() -> None:
    spec = fake_spec(16, 32)
    assert is_compatible(spec, replace(spec, fingerprint="another"))
    assert not is_compatible(spec, fake_spec(32, 32))
    assert not is_compatible(spec, replace(spec, memory_frames=7))


async def test_a_successor_is_refused_once() -> None:
    loop, reports = asyncio.get_running_loop(), list[Report]()
    thread = EngineThread(FakeEngine, lambda _, report: reports.append(report), loop, loop.time)
    successor = Successor(FakeEngine, thread, loop.create_future())
    successor.refuse(Conflict("Another model."))
    successor.succeed()
    with pytest.raises(Conflict):
        await successor.taken_over
    async with asyncio.timeout(30):
        await thread.ended.wait()
    assert len(reports) == 2, "it was made, and left"
