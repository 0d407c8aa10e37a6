"""Services for tests that probe videos, without the parts that are slow by design.

A service starts a separate process to probe uploads, whose imports take longer than most tests; and
it gathers the changes of a video for a while before it reports them.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock
from typing import ClassVar

import pytest

from server.sources.sandbox import probe_process
from server.videos import jobs

Forks = probe_process._Forks


class SharedForks:
    """Hands every order to one process of each kind, which is kept until :meth:`stop`."""

    _lock = Lock()
    _kept: ClassVar[dict[tuple[str, bool], Forks]] = {}

    def __init__(self, module: str, sandboxed: bool) -> None:
        self._kind = module, sandboxed

    def take(self, order: int, answer: int) -> int | None:
        with self._lock:
            forks = self._kept.get(self._kind) or Forks(*self._kind)
            self._kept[self._kind] = forks
            try:
                return forks.take(order, answer)
            except OSError:
                self._kept.pop(self._kind).end()
                raise

    def end(self) -> None:
        """Keep the process for others."""

    @classmethod
    def stop(cls) -> None:
        for forks in cls._kept.values():
            forks.end()
        cls._kept.clear()


@contextmanager
def quick_videos() -> Iterator[None]:
    """Let all services share one process that probes, and report changes almost at once."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(probe_process, "_Forks", SharedForks)
        patch.setattr(jobs, "GATHER_SECONDS", 0.01)
        yield
    SharedForks.stop()
