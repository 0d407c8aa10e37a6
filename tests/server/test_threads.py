"""PicturePool: work runs in parallel, off the event loop, and errors are passed on."""

from __future__ import annotations

import asyncio
import threading
from contextlib import closing

import pytest

from server.threads import PicturePool

pytestmark = pytest.mark.anyio


async def test_work_is_done_side_by_side_off_the_loop() -> None:
    both = threading.Barrier(2, timeout=30)

    def meet() -> str:
        both.wait()
        return threading.current_thread().name

    with closing(PicturePool(2)) as pool:
        names = await asyncio.gather(pool.run(1.0, meet), pool.run(1.0, meet))
    assert len(set(names)) == 2 and threading.current_thread().name not in names


async def test_cheap_work_is_done_at_once() -> None:
    with closing(PicturePool(1)) as pool:
        assert await pool.run(0.0, threading.current_thread) is threading.current_thread()


async def test_what_the_work_raises_comes_back() -> None:
    pool = PicturePool(1)
    try:
        with pytest.raises(ValueError, match="seven"):
            await pool.run(1.0, _fail, "seven")
    finally:
        pool.close()
        pool.close()


def _fail(word: str) -> None:
    raise ValueError(word)


async def test_a_client_with_many_pictures_does_not_hold_up_another() -> None:
    order: list[str] = []
    first = threading.Event()
    with closing(PicturePool(1)) as pool:
        blocked = asyncio.ensure_future(pool.run(1.0, first.wait, 30))
        many = [pool.run_for("greedy", 1.0, order.append, f"large {n}") for n in range(12)]
        calls = [asyncio.ensure_future(one) for one in many]
        await asyncio.sleep(0)  # all are queued
        calls.append(asyncio.ensure_future(pool.run_for("modest", 0.1, order.append, "small")))
        await asyncio.sleep(0)
        first.set()
        await asyncio.gather(blocked, *calls)
    assert order.index("small") <= 1 and len(order) == 13


async def test_work_that_nobody_waits_for_any_more_is_not_done() -> None:
    first, done = threading.Event(), list[str]()
    with closing(PicturePool(1)) as pool:
        blocked = asyncio.ensure_future(pool.run(1.0, first.wait, 30))
        left = asyncio.ensure_future(pool.run(1.0, done.append, "left"))
        await asyncio.sleep(0)
        left.cancel()
        await asyncio.wait([left])
        first.set()
        await asyncio.gather(blocked, pool.run(1.0, done.append, "kept"))
    assert done == ["kept"]


async def test_closing_cancels_what_waits() -> None:
    first, pool = threading.Event(), PicturePool(1)
    blocked = asyncio.ensure_future(pool.run(1.0, first.wait, 30))
    waiting = asyncio.ensure_future(pool.run(1.0, _fail, "never"))
    await asyncio.sleep(0)
    pool.close()
    first.set()
    await asyncio.wait([blocked, waiting])
    assert waiting.cancelled() and blocked.result()
