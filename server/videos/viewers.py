"""Viewers of videos that are segmented: the parts that they read stay until they have ended."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable


class Viewers:
    """How many read each video. Any thread may use it.

    Mutable state: the counts, and what is to be removed once nobody reads a video any more.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._counts: Counter[str] = Counter()
        self._removals: dict[str, Callable[[], object]] = {}

    def __repr__(self) -> str:
        return f"<Viewers {dict(self._counts)} removals={list(self._removals)}>"

    def watched(self) -> list[str]:
        """Return the videos that somebody reads."""
        with self._lock:
            return list(self._counts)

    def begin(self, video: str) -> None:
        """Count one more viewer, who must :meth:`end`."""
        with self._lock:
            self._counts[video] += 1

    def end(self, video: str) -> None:
        """Count one less; after the last one, remove what had to wait for it."""
        with self._lock:
            self._counts[video] -= 1
            if self._counts[video]:
                return
            del self._counts[video]
            remove = self._removals.pop(video, None)
        if remove is not None:
            remove()

    def after_last(self, video: str, remove: Callable[[], object]) -> None:
        """Call ``remove`` once, at once if nobody reads the video, else after its last viewer; it
        takes the place of an earlier one that still waits."""
        with self._lock:
            if video in self._counts:
                self._removals[video] = remove
                return
        remove()
