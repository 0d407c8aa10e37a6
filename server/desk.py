"""One thread in which rows and files of videos are touched, in the order asked for."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import ParamSpec, TypeVar

P = ParamSpec("P")
R = TypeVar("R")


class Desk:
    """``await desk(act, ...)`` is ``act(...)`` done in a thread of its own, so that nobody on the
    event loop waits for the disk. With one thread (the default), one after the other."""

    def __init__(self, name: str, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def __call__(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: act(*args, **kwargs))

    async def close(self) -> None:
        """Wait for what is being done; what waits is done as well."""
        await asyncio.to_thread(self._threads.shutdown)
