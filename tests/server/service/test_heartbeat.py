"""The event loop's lateness, measured on a real loop."""

from __future__ import annotations

import asyncio
import time

import pytest

from server.service.heartbeat import INTERVAL_SECONDS, measure_lateness

pytestmark = pytest.mark.anyio


async def test_a_loop_that_is_blocked_is_late() -> None:
    seen: list[tuple[float, float]] = []
    came = asyncio.Event()

    def observe(late: float, now: float) -> None:
        seen.append((late, now))
        came.set()

    measuring = asyncio.create_task(measure_lateness(observe))
    await asyncio.wait_for(came.wait(), 30)
    came.clear()
    time.sleep(10 * INTERVAL_SECONDS)  # noqa: ASYNC251  it blocks the loop on purpose
    await asyncio.wait_for(came.wait(), 30)
    measuring.cancel()
    assert all(late >= 0 for late, _ in seen)
    assert max(late for late, _ in seen) >= 8 * INTERVAL_SECONDS
    assert [now for _, now in seen] == sorted(now for _, now in seen)
