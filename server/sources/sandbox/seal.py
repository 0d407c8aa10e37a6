"""Holds a camera's bytes back until the process that reads them has given up its rights.

FFmpeg makes its connection itself and needs rights for it, but it connects to the relay, which is
trusted. At the first byte that FFmpeg sends, the relay has the process sealed, and passes the
camera's bytes on only then. Whatever those bytes do to the process, it can make no further
connection.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock

SEAL_SECONDS = 10.0
"""Seconds that a process may take to give up its rights."""


class Seal:
    """``ask`` has the process sealed; it must be set before the process can connect. Mutable state:
    ``ask``, whether a connection was made, and whether the process is sealed."""

    def __init__(self, seconds: float = SEAL_SECONDS) -> None:
        self.ask: Callable[[], None] | None = None
        self._seconds = seconds
        self._lock = Lock()
        self._came = False
        self._sealed = Event()

    def hold(self) -> None:
        """Return once the process is sealed. Raises OSError if that takes too long, or if the
        process connects a second time."""
        with self._lock:
            came, self._came = self._came, True
        if came or self.ask is None:
            raise ConnectionRefusedError("a process in the sandbox may make only one connection")
        self.ask()
        if not self._sealed.wait(self._seconds):
            raise TimeoutError("a process in the sandbox did not give up its rights")

    def sealed(self) -> None:
        """Record that the process is sealed."""
        self._sealed.set()
