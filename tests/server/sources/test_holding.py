"""Whole pictures count while anything refers to them, and no longer."""

from __future__ import annotations

import asyncio
import gc
import threading
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from waiting import until

from server.frame import Frame
from server.sources.container import ContainerSource
from server.sources.holding import ALWAYS, Holding, Pictures

Film = Callable[..., Path]
WHOLE = 48 * 64 * 3


def frame(whole: bool = True) -> Frame:
    original = np.zeros((48, 64, 3), np.uint8) if whole else None
    return Frame(np.zeros((24, 32, 3), np.uint8), 0, original=original)


def test_a_picture_counts_until_its_last_reference_is_gone() -> None:
    held = Holding()
    one, two = frame(), frame()
    for each in (one, two, frame(whole=False)):
        held.add(each)
    assert (held.pictures, held.nbytes) == (2, 2 * WHOLE)
    part = None if one.original is None else one.original[:10]
    del one, each
    gc.collect()
    assert held.pictures == 2, "a view keeps the picture"
    del part, two
    gc.collect()
    assert (held.pictures, held.nbytes) == (0, 0)


def test_many_threads_lose_no_count() -> None:
    held = Holding()

    def hold() -> None:
        for _ in range(300):
            held.add(frame())
            assert held.pictures >= 0

    threads = [threading.Thread(target=hold) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    gc.collect()
    assert (held.pictures, held.nbytes) == (0, 0)


def test_a_stream_may_always_hold_its_newest_picture_and_the_next() -> None:
    shared = Pictures()
    room, other = shared.of_one(), shared.of_one()
    kept = [frame() for _ in range(ALWAYS)]
    for one in kept:
        assert room.admits()
        room.add(one)
    assert room.admits(), "the budget is not spent"
    shared.is_spent = lambda: shared.all.nbytes >= ALWAYS * WHOLE
    assert not room.admits() and other.admits()
    del one
    kept.pop()
    gc.collect()
    assert room.admits()


@pytest.mark.anyio
async def test_a_file_waits_for_room_and_loses_nothing(film: Film) -> None:
    shared = Pictures()
    shared.is_spent = lambda: True
    source = ContainerSource(
        film(frames=12), 24, 32, keep_original=True, capacity=8, room=shared.of_one()
    )
    seen = []
    async with source:
        async for one in source:
            seen.append(one.seq)
            assert shared.all.pictures <= ALWAYS
            await asyncio.sleep(0)
    assert seen == list(range(12)) and source.lost == 0


@pytest.mark.anyio
async def test_a_live_source_without_room_loses_pictures_and_continues(film: Film) -> None:
    shared = Pictures()
    shared.is_spent = lambda: True
    source = ContainerSource(
        film(frames=12), 24, 32, keep_original=True, capacity=8, live=True, room=shared.of_one()
    )
    async with source:
        first = await anext(source)
        await until(lambda: source.lost == 12 - ALWAYS)
        assert shared.all.pictures == ALWAYS
        assert [one.seq async for one in source] == [1] and first.seq == 0


@pytest.mark.anyio
async def test_leaving_a_file_that_waits_for_room_leaves_nothing(film: Film) -> None:
    shared = Pictures()
    shared.is_spent = lambda: True
    source = ContainerSource(
        film(frames=12), 24, 32, keep_original=True, capacity=8, room=shared.of_one()
    )
    kept = [await anext(source), await anext(source)]
    await source.aclose()
    assert not any(thread.name == "source" for thread in threading.enumerate())
    assert len(kept) == shared.all.pictures
