"""Threads for what would hold up the event loop: disk and database work, pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

INLINE_SECONDS = 0.0004
"""Work below this is done at once: two changes of thread and the wait for the interpreter's lock
cost about as much, and more when the cores are busy."""

P = ParamSpec("P")
R = TypeVar("R")


class ThreadRunner:
    """``await run(act, ...)`` is ``act(...)`` done in a thread of its own, so that nobody on the
    event loop waits for the disk. With one thread (the default), one after the other."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def __call__(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: act(*args, **kwargs))

    async def close(self) -> None:
        """Wait for what is being done; what waits is done as well."""
        await asyncio.to_thread(self._threads.shutdown)


class PicturePool:
    """As many threads as there are cores; the codecs leave the GIL, so they run side by side.

    Its queue needs no bound of its own: a stream waits for one picture before it sends in the
    next.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pictures")

    async def run(self, cost: float, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """``work`` done in a thread, or here where it ``cost``s few seconds; raises what it
        raises."""
        if cost < INLINE_SECONDS:
            return work(*args, **kwargs)
        future = self._threads.submit(work, *args, **kwargs)
        return await asyncio.wrap_future(future)

    def close(self) -> None:
        """Drop what waits and let the threads end. Twice is harmless."""
        self._threads.shutdown(wait=False, cancel_futures=True)
