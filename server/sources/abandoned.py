"""Decoders that hang: their threads are abandoned, and counted until they end."""

from __future__ import annotations

from threading import Lock, Thread


class AbandonedThreads:
    """Threads that are no longer waited for."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._threads: set[Thread] = set()

    def add(self, thread: Thread) -> None:
        with self._lock:
            self._threads.add(thread)

    def count(self) -> int:
        """Return how many of them are still running."""
        with self._lock:
            self._threads = {thread for thread in self._threads if thread.is_alive()}
            return len(self._threads)


ABANDONED = AbandonedThreads()
"""The abandoned threads of this process."""


def abandoned_decoders() -> int:
    """Return how many decoders of this process still hang after their sources were closed.

    Each holds a connection and a decoder. The decoder of a camera that was closed while it was
    silent counts until its time limit ends it.
    """
    return ABANDONED.count()
