"""From a thread to a coroutine, bounded."""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable

import pytest

from server.sources.handover import Handover

pytestmark = pytest.mark.anyio


def started(body: Callable[[], None]) -> threading.Thread:
    thread = threading.Thread(target=body)
    thread.start()
    return thread


async def drained(handover: Handover[int]) -> list[int]:
    items = []
    while (item := await handover.get()) is not None:
        items.append(item)
    return items


async def test_nothing_is_lost_when_the_thread_waits() -> None:
    handover = Handover[int](2, False, asyncio.get_running_loop())

    def body() -> None:
        for item in range(1, 51):
            assert handover.put(item)
        handover.finish()

    thread = started(body)
    assert await drained(handover) == list(range(1, 51))
    await handover.finished()
    thread.join()
    assert handover.lost == 0


async def test_lossy_keeps_the_newest_and_counts() -> None:
    handover = Handover[int](2, True, asyncio.get_running_loop())
    for item in (1, 2, 3, 4, 5):
        assert handover.put(item)
    handover.finish()
    assert await drained(handover) == [4, 5]
    assert handover.lost == 3


async def test_leaving_wakes_the_thread_and_throws_away_what_waits() -> None:
    handover = Handover[int](1, False, asyncio.get_running_loop())
    answers: list[bool] = []
    waiting = threading.Event()

    def body() -> None:
        answers.append(handover.put(1))
        waiting.set()
        answers.append(handover.put(2))
        handover.finish()

    thread = started(body)
    waiting.wait()
    handover.close()
    await handover.finished()
    thread.join()
    assert answers == [True, False]
    assert await handover.get() is None


async def test_the_error_comes_once_after_the_last_item() -> None:
    handover = Handover[int](2, False, asyncio.get_running_loop())
    handover.put(1)
    handover.finish(ValueError("broken"))
    assert await handover.get() == 1
    with pytest.raises(ValueError, match="broken"):
        await handover.get()
    assert await handover.get() is None


async def test_a_reader_that_waits_is_woken_by_close() -> None:
    handover = Handover[int](1, False, asyncio.get_running_loop())
    reader = asyncio.create_task(handover.get())
    await asyncio.sleep(0)
    handover.close()
    assert await reader is None


def test_a_closed_loop_ends_the_thread() -> None:
    loop = asyncio.new_event_loop()
    handover = Handover[int](1, False, loop)
    loop.close()
    assert handover.put(1) is False
    handover.finish()
    assert "ended" in repr(handover)
