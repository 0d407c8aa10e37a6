"""Services of tests that probe videos, without what is slow in each service's life by design.

A service starts a process of its own to probe uploads, whose imports take longer than most tests;
and it gathers the changes of a video for a while before it tells them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock

import pytest

from server.sources import probe_process
from server.videos import jobs


class SharedForks:
    """Hands every request to one process, which is kept until :func:`quick_videos` is left."""

    _lock = Lock()
    _forks: probe_process._Forks | None = None
    _make = probe_process._Forks

    def take(self, request: bytes, answer: int) -> bool:
        shared = SharedForks
        with self._lock:
            if shared._forks is None:
                shared._forks = shared._make()
            if shared._forks.take(request, answer):
                return True
            shared.stop()
            return False

    def end(self) -> None:
        """Keep the process for others."""

    @classmethod
    def stop(cls) -> None:
        if cls._forks is not None:
            cls._forks.end()
            cls._forks = None


@contextmanager
def quick_videos() -> Iterator[None]:
    """Let all services share one process that probes, and tell changes nearly at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_process, "_Forks", SharedForks)
        patch.setattr(jobs, "GATHER_SECONDS", 0.01)
        yield
    SharedForks.stop()
