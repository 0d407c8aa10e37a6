"""The contract of a source, over every row of the table."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from server.frame import Frame
from server.sources import SOURCES, source_class
from server.sources.base import Source

pytestmark = pytest.mark.anyio

Film = Callable[..., Path]

HEIGHT, WIDTH, FRAMES = 24, 32, 9


@pytest.fixture(params=SOURCES)
def make(request: pytest.FixtureRequest, film: Film) -> Callable[..., Source]:
    """A source of nine frames, made by each row; define here how to make a new row's source."""
    kind: Any = source_class(request.param)
    path = film(frames=FRAMES)
    ways: dict[str, Callable[..., Source]] = {
        "container": lambda **more: kind(path, HEIGHT, WIDTH, total=FRAMES, **more),
        "synthetic": lambda **more: kind(HEIGHT, WIDTH, FRAMES, **more),
    }
    return ways[request.param]


async def collect(source: Source) -> list[Frame]:
    async with source:
        return [frame async for frame in source]


async def test_frames_come_in_order(make: Callable[..., Source]) -> None:
    began = time.monotonic()
    source = make()
    frames = await collect(source)
    assert [frame.seq for frame in frames] == list(range(FRAMES)) == list(range(source.total or 0))
    times = [frame.pts for frame in frames if frame.pts is not None]
    assert len(times) == FRAMES and times == sorted(set(times))
    # A picture's own packet may come after that of a later picture (B-frames).
    assert all(began <= frame.arrived <= time.monotonic() for frame in frames)
    assert all(frame.decode >= 0 and not frame.reset and not frame.replay for frame in frames)


async def test_pixels_are_rgb_of_the_models_size(make: Callable[..., Source]) -> None:
    for frame in await collect(make()):
        assert frame.pixels.shape == (HEIGHT, WIDTH, 3)
        assert frame.pixels.dtype == np.uint8 and frame.pixels.flags.c_contiguous
        assert frame.original is None and min(frame.size) > 0


async def test_the_original_is_kept_when_asked_for(make: Callable[..., Source]) -> None:
    for frame in await collect(make(keep_original=True)):
        assert frame.original is not None
        assert frame.original.shape == (*frame.size, 3)
        assert frame.original.dtype == np.uint8 and frame.original.flags.c_contiguous


async def test_leaving_early_frees_everything(make: Callable[..., Source]) -> None:
    before = threading.active_count()
    async with make() as source:
        async for frame in source:
            if frame.seq == 1:
                break
    assert threading.active_count() == before
    assert [frame async for frame in source] == []


async def test_closing_twice_and_unused_is_harmless(make: Callable[..., Source]) -> None:
    source = make()
    await source.aclose()
    await source.aclose()
    assert [frame async for frame in source] == []


async def test_the_end_stays_the_end(make: Callable[..., Source]) -> None:
    async with make() as source:
        assert len([frame async for frame in source]) == FRAMES
        assert [frame async for frame in source] == []


def test_live_says_so(make: Callable[..., Source]) -> None:
    assert make().live is False
    assert make(live=True).live is True
