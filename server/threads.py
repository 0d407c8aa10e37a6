"""Threads for work that would block the event loop: disk, database and pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

INLINE_SECONDS = 0.0004
"""Work that takes less is done on the event loop: two thread switches and the wait for the GIL
cost about as much, and more when the cores are busy."""

P = ParamSpec("P")
R = TypeVar("R")


class ThreadRunner:
    """Runs calls in threads of its own: ``await run(act, ...)`` returns ``act(...)``.

    So the event loop never waits for the disk. With one thread, the default, calls run in order.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def __call__(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: act(*args, **kwargs))

    async def close(self) -> None:
        """Wait until all calls are done, those that still wait included."""
        await asyncio.to_thread(self._threads.shutdown)


class PicturePool:
    """Threads for pictures, one per core; the codecs release the GIL, so they run in parallel.

    The queue needs no bound of its own: a stream waits for one picture before it submits the next.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pictures")

    async def run(self, cost: float, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Run ``work`` in a thread, or at once if ``cost``, in seconds, is small; return its
        result. Raises what it raises."""
        if cost < INLINE_SECONDS:
            return work(*args, **kwargs)
        future = self._threads.submit(work, *args, **kwargs)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop the calls that wait and let the threads end. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)
