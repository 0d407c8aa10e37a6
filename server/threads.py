"""Threads for work that would block the event loop: disk, database and pictures."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import partial
from threading import Lock
from typing import Any, ParamSpec, TypeVar

from server.fair_queue import FairQueue

INLINE_SECONDS = 0.0004
"""Work below this is done on the event loop: two thread switches and the wait for the GIL cost
about as much, and more when the cores are busy."""

P = ParamSpec("P")
R = TypeVar("R")


class ThreadRunner:
    """Runs calls in its own threads: ``await run(act, ...)`` returns ``act(...)``.

    So the event loop never waits for the disk. With one thread, the default, calls run in order.
    """

    def __init__(self, name: str, threads: int = 1) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix=name)

    async def __call__(self, act: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, lambda: act(*args, **kwargs))

    async def close(self) -> None:
        """Wait until all calls are done, including those in the queue."""
        await asyncio.to_thread(self._threads.shutdown)


@dataclass(frozen=True, slots=True, eq=False)
class _Call:
    """Work that waits for a thread, and its result."""

    work: Callable[[], Any]
    result: Future[Any] = field(default_factory=Future)

    def run(self) -> None:
        """Do the work, unless its caller has gone."""
        if not self.result.set_running_or_notify_cancel():
            return
        try:
            self.result.set_result(self.work())
        except BaseException as error:
            self.result.set_exception(error)


class PicturePool:
    """Threads for pictures, one per core; the codecs release the GIL, so they run in parallel.

    Competing clients get equal parts of the threads' time, however many streams each has and
    however large their pictures are. The queue needs no bound of its own: a stream waits for one
    picture before it submits the next. Mutable state: the calls that wait, under a lock.
    """

    def __init__(self, threads: int) -> None:
        self._threads = ThreadPoolExecutor(threads, thread_name_prefix="pictures")
        self._waiting: FairQueue[_Call] = FairQueue()
        self._lock = Lock()

    async def run(self, cost: float, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs) -> R:
        """Do work that belongs to no client, as :meth:`run_for` does."""
        return await self.run_for("", cost, work, *args, **kwargs)

    async def run_for(
        self, client: str, cost: float, work: Callable[P, R], *args: P.args, **kwargs: P.kwargs
    ) -> R:
        """Run a client's ``work`` in a thread, or at once if ``cost``, in seconds, is small; return
        its result, or raise its error."""
        if cost < INLINE_SECONDS:
            return work(*args, **kwargs)
        call = _Call(partial(work, *args, **kwargs))
        result: Future[R] = call.result
        with self._lock:
            self._waiting.push(client, cost, call)
        self._threads.submit(self._run_next)
        return await asyncio.wrap_future(result)

    def close(self) -> None:
        """Drop the calls that wait and let the threads end. Idempotent."""
        self._threads.shutdown(wait=False, cancel_futures=True)
        while call := self._pop():
            call.result.cancel()

    def _run_next(self) -> None:
        """Run the call whose turn it is, which need not be the one submitted with this."""
        if call := self._pop():
            call.run()

    def _pop(self) -> _Call | None:
        with self._lock:
            return self._waiting.pop()
