"""The whole pictures that pulled streams hold, to limit their total size.

A picture counts from when it is decoded until nothing refers to it any more, while it waits for a
step or a viewer, or is painted and encoded.
"""

from __future__ import annotations

import asyncio
import time
import weakref
from collections import deque
from collections.abc import Callable
from threading import Lock

from server.frame import Frame
from server.sources.handover import Handover

ALWAYS = 2
"""Pictures that a stream may hold even beyond the budget: the newest, which stays, and the next
one."""

LOOK_SECONDS = 0.01
"""Seconds between two checks for room, for a file that waits."""


class Holding:
    """Counts pictures that are alive. Any thread may use it.

    Mutable state: the count, and the sizes of pictures that were freed and are still to be
    subtracted. A picture may be freed in the middle of any code, which must then take no lock.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._freed: deque[int] = deque()
        self._pictures = self._bytes = 0

    def __repr__(self) -> str:
        return f"<Holding {self.pictures} pictures, {self.nbytes} bytes>"

    @property
    def pictures(self) -> int:
        """Return how many pictures are alive."""
        self._settle()
        return self._pictures

    @property
    def nbytes(self) -> int:
        """Return how many bytes the pictures have."""
        self._settle()
        return self._bytes

    def add(self, frame: Frame) -> None:
        """Count a frame's whole picture, if it has one, as long as anything refers to it."""
        if (picture := frame.original) is None:
            return
        with self._lock:
            self._pictures += 1
            self._bytes += picture.nbytes
        weakref.finalize(picture, self._freed.append, picture.nbytes).atexit = False

    def _settle(self) -> None:
        with self._lock:
            while self._freed:
                self._pictures -= 1
                self._bytes -= self._freed.popleft()


class Pictures:
    """The pictures of all streams, and their budget. Mutable state: ``all``."""

    def __init__(self) -> None:
        self.all = Holding()
        self.is_spent: Callable[[], bool] = lambda: False

    def of_one(self) -> Room:
        """Return the room of one more source."""
        return Room(self)


class Room:
    """The room of one source: ``ALWAYS`` pictures of its own, and more while the budget of all
    streams is not spent."""

    def __init__(self, shared: Pictures) -> None:
        self._shared = shared
        self._own = Holding()

    def admits(self) -> bool:
        """Return whether one more picture may be held."""
        return self._own.pictures < ALWAYS or not self._shared.is_spent()

    def add(self, frame: Frame) -> None:
        self._own.add(frame)
        self._shared.all.add(frame)


class RoomyHandover(Handover[Frame]):
    """A handover that accepts a picture only if there is room for it; otherwise a camera loses it,
    and a file waits."""

    def __init__(
        self, capacity: int, lossy: bool, loop: asyncio.AbstractEventLoop, room: Room
    ) -> None:
        super().__init__(capacity, lossy, loop)
        self._room = room

    def put(self, item: Frame) -> bool:
        while not self._room.admits() and not self.closed:
            if self._lossy:
                self.lost += 1
                return True
            time.sleep(LOOK_SECONDS)
        self._room.add(item)
        return super().put(item)
