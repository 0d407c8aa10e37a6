"""PicturePool: side by side, off the loop, and what is raised comes back."""

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
