"""Viewers of videos that are being segmented: the parts that they read stay until they have
finished."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable


class Viewers:
    """Counts the viewers of each video. Any thread may use it.

    Mutable state: the counts, and the removals to do once nobody reads a video any more.
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
        """Count one viewer less; after the last one, do the removals that had to wait."""
        with self._lock:
            self._counts[video] -= 1
            if self._counts[video]:
                return
            del self._counts[video]
            remove = self._removals.pop(video, None)
        if remove is not None:
            remove()

    def after_last(self, video: str, remove: Callable[[], object]) -> None:
        """Call ``remove`` once: at once if nobody reads the video, otherwise after its last viewer.
        It replaces an earlier one that is still waiting."""
        with self._lock:
            if video in self._counts:
                self._removals[video] = remove
                return
        remove()
