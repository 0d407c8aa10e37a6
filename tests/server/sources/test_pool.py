"""PicturePool: side by side, off the loop, and what is raised comes back."""

from __future__ import annotations

import asyncio
import threading

import pytest

from server.sources.pool import PicturePool


def test_work_is_done_side_by_side_off_the_loop() -> None:
    both = threading.Barrier(2, timeout=30)

    def meet() -> str:
        both.wait()
        return threading.current_thread().name

    async def scenario() -> list[str]:
        pool = PicturePool(2)
        try:
            return await asyncio.gather(pool.run(1.0, meet), pool.run(1.0, meet))
        finally:
            pool.close()

    names = asyncio.run(scenario())
    assert len(set(names)) == 2 and threading.current_thread().name not in names


def test_cheap_work_is_done_at_once() -> None:
    async def scenario() -> threading.Thread:
        pool = PicturePool(1)
        try:
            return await pool.run(0.0, threading.current_thread)
        finally:
            pool.close()

    assert asyncio.run(scenario()) is threading.current_thread()


def test_what_the_work_raises_comes_back() -> None:
    async def scenario() -> None:
        pool = PicturePool(1)
        try:
            with pytest.raises(ValueError, match="seven"):
                await pool.run(1.0, _fail, "seven")
        finally:
            pool.close()
            pool.close()

    asyncio.run(scenario())


def _fail(word: str) -> None:
    raise ValueError(word)
