"""The moving test pattern."""

from __future__ import annotations

import asyncio
import time
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from server.frame import Frame
from server.sources.synthetic import SyntheticSource

pytestmark = pytest.mark.anyio


async def collect(source: SyntheticSource) -> list[Frame]:
    async with source:
        return [frame async for frame in source]


async def frames_of(
    frames: int = 5, seed: int = 0, height: int = 24, width: int = 32
) -> list[Frame]:
    return await collect(SyntheticSource(height, width, frames, seed=seed))


async def test_the_same_seed_gives_the_same_pictures() -> None:
    for one, two in zip(await frames_of(seed=3), await frames_of(seed=3), strict=True):
        np.testing.assert_array_equal(one.pixels, two.pixels)
    assert any(
        (a.pixels != b.pixels).any()
        for a, b in zip(await frames_of(), await frames_of(seed=1), strict=True)
    )


async def test_it_moves() -> None:
    frames = await frames_of(40)
    for one, two in pairwise(frames):
        assert (one.pixels != two.pixels).any()


async def test_times_follow_the_rate() -> None:
    source = SyntheticSource(8, 8, 4, rate=29.97)
    frames = await collect(source)
    assert [frame.pts for frame in frames] == [i / Fraction(2997, 100) for i in range(4)]
    assert source.total == 4 and not source.live


async def test_tiny_and_odd_sizes() -> None:
    for height, width in ((1, 1), (3, 50), (17, 33)):
        assert {f.pixels.shape for f in await frames_of(3, 0, height, width)} == {
            (height, width, 3)
        }


async def test_live_is_never_early() -> None:
    began = time.monotonic()
    frames = await collect(SyntheticSource(8, 8, 5, rate=100, live=True))
    assert len(frames) == 5
    for frame in frames:
        assert frame.pts is not None and frame.arrived - began >= float(frame.pts)


async def test_leaving_wakes_a_reader_that_waits() -> None:
    source = SyntheticSource(8, 8, rate=Fraction(1, 1000), live=True)
    assert (await anext(source)).seq == 0
    reader = asyncio.create_task(anext(source, None))
    await asyncio.sleep(0)
    await source.aclose()
    assert await asyncio.wait_for(reader, 10) is None
