"""A moving test pattern: a source without file, camera or thread, for tests and load tests."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator
from fractions import Fraction

import numpy as np

from server.frame import Frame, Pixels
from server.sources.base import Source

BAND = 16
"""Side of the noise blocks in pixels."""


class SyntheticSource(Source):
    """``frames`` pictures (None: endless) at ``rate`` per second, determined by ``seed``.

    Blocks of coloured noise drift to the left, one pixel per frame and repeating after the
    picture's width, under a bright square that moves. So every frame differs from its neighbours,
    like those of a camera. ``live`` paces the frames in real time: none is early, and a late reader
    gets all due frames at once.
    """

    def __init__(
        self,
        height: int,
        width: int,
        frames: int | None = None,
        rate: Fraction | float = Fraction(25),
        seed: int = 0,
        *,
        live: bool = False,
        keep_original: bool = False,
    ) -> None:
        assert height > 0 and width > 0 and rate > 0
        self.live = live
        self.total = frames
        self._rate = Fraction(rate).limit_denominator(100_000)
        self._keep_original = keep_original
        self._texture = _texture(height, width, seed)
        self._width = width
        self._seq = 0
        self._left = asyncio.Event()
        self._began: float | None = None

    def __aiter__(self) -> AsyncIterator[Frame]:
        return self

    async def __anext__(self) -> Frame:
        if self.live:
            await self._due()
        if self._left.is_set() or self._seq == self.total:
            raise StopAsyncIteration
        frame = self._frame(time.monotonic())
        self._seq += 1
        return frame

    async def aclose(self) -> None:
        self._left.set()

    async def _due(self) -> None:
        """Wait until the next frame is due, or the source is closed."""
        now = time.monotonic()
        self._began = now if self._began is None else self._began
        wait = self._began + float(self._seq / self._rate) - now
        if wait > 0:
            try:
                async with asyncio.timeout(wait):
                    await self._left.wait()
            except TimeoutError:
                return

    def _frame(self, now: float) -> Frame:
        pixels = pattern(self._texture, self._width, self._seq)
        return Frame(
            pixels=pixels,
            seq=self._seq,
            pts=self._seq / self._rate,
            size=pixels.shape[:2],
            original=pixels if self._keep_original else None,
            arrived=now,
            decode=time.monotonic() - now,
        )


def pictures(height: int, width: int, count: int, apart: int = 1) -> list[Pixels]:
    """Return ``count`` pictures (height, width, 3): every ``apart``-th one of the pattern."""
    texture = _texture(height, width, seed=0)
    return [pattern(texture, width, apart * index) for index in range(count)]


def pattern(texture: Pixels, width: int, index: int) -> Pixels:
    """Return picture ``index``: the texture from column ``index`` on, with the square on top."""
    start = index % width
    picture = np.ascontiguousarray(texture[:, start : start + width])
    height = picture.shape[0]
    side = max(1, min(height, width) // 4)
    top, left = index % max(1, height - side), 2 * index % max(1, width - side)
    picture[top : top + side, left : left + side] = (255, 220, 40)
    return picture


def _texture(height: int, width: int, seed: int) -> Pixels:
    """Return blocks of noise, (height, 2 * width, 3); the right half repeats the left one."""
    blocks = np.random.default_rng(seed).integers(
        0, 200, (-(-height // BAND), -(-width // BAND), 3), dtype=np.uint8
    )
    half = blocks.repeat(BAND, axis=0).repeat(BAND, axis=1)[:height, :width]
    return np.concatenate([half, half], axis=1)
