"""A bounded queue from one thread to one coroutine, closable from both ends.

If it is full, the thread waits (a file), or the oldest item is dropped and counted (a camera, which
does not wait).
"""

from __future__ import annotations

import asyncio
from collections import deque
from threading import Condition
from typing import Generic, TypeVar

T = TypeVar("T")


class Handover(Generic[T]):
    """``put`` and ``finish`` belong to the thread; ``get`` and ``close`` to the event loop.

    States: open; ended (the thread has no more items, waiting ones can still be taken); closed (the
    reader has left, waiting items are discarded).
    """

    def __init__(self, capacity: int, lossy: bool, loop: asyncio.AbstractEventLoop) -> None:
        assert capacity > 0
        self.lost = 0
        self._capacity = capacity
        self._lossy = lossy
        self._loop = loop
        self._items: deque[T] = deque()
        self._changed = Condition()
        self._arrived = asyncio.Event()
        self._finished = asyncio.Event()
        self._ended = False
        self._closed = False
        self._error: Exception | None = None

    def __repr__(self) -> str:
        state = "closed" if self._closed else "ended" if self._ended else "open"
        return f"<Handover {state} {len(self._items)}/{self._capacity} lost={self.lost}>"

    @property
    def closed(self) -> bool:
        """Return whether the reader has left."""
        return self._closed

    def put(self, item: T) -> bool:
        """Add an item, after waiting for room unless lossy; return False if the reader has left."""
        with self._changed:
            self._make_room()
            if self._closed:
                return False
            self._items.append(item)
        return self._set(self._arrived)

    def finish(self, error: Exception | None = None) -> None:
        """Announce that there are no more items; ``error`` is raised to the reader after the last
        one."""
        with self._changed:
            self._ended, self._error = True, error
        self._set(self._arrived)
        self._set(self._finished)

    async def get(self) -> T | None:
        """Return the next item, None after the last. Raises once the error that the thread
        finished with."""
        while True:
            with self._changed:
                if self._items:
                    self._changed.notify()
                    return self._items.popleft()
                if self._ended or self._closed:
                    self._raise_once()
                    return None
                self._arrived.clear()
            await self._arrived.wait()

    async def finished(self) -> None:
        """Wait until the thread has called :meth:`finish`."""
        await self._finished.wait()

    def close(self) -> None:
        """Leave as the reader: discard waiting items and wake both sides."""
        with self._changed:
            self._closed = True
            self._items.clear()
            self._changed.notify()
        self._arrived.set()

    def _make_room(self) -> None:
        while len(self._items) >= self._capacity and not self._closed:
            if self._lossy:
                self._items.popleft()
                self.lost += 1
            else:
                self._changed.wait()

    def _raise_once(self) -> None:
        error, self._error = self._error, None
        if error is not None and not self._closed:
            raise error

    def _set(self, event: asyncio.Event) -> bool:
        try:
            self._loop.call_soon_threadsafe(event.set)
        except RuntimeError:  # the loop was closed and the source was not: nobody will read
            return False
        return True
