"""Holding a camera's bytes back until the process that reads them has no rights any more.

FFmpeg makes its connection by itself, for which it needs rights. It makes it to the relay, which
is trusted. So the relay waits at the first byte that FFmpeg sends, has the process sealed, and only
then passes the camera's bytes on. Whatever they do to the process, it can connect no more.
"""

from __future__ import annotations

from collections.abc import Callable
from threading import Event, Lock

SEAL_SECONDS = 10.0
"""How long a process may take to give up its rights."""


class Seal:
    """``ask`` has the process sealed; it must be set before the process can connect. Mutable state:
    that, whether a connection has come, and whether the process is sealed."""

    def __init__(self, seconds: float = SEAL_SECONDS) -> None:
        self.ask: Callable[[], None] | None = None
        self._seconds = seconds
        self._lock = Lock()
        self._came = False
        self._sealed = Event()

    def hold(self) -> None:
        """Return once the process is sealed. Raises OSError if it is not in time, or if it connects
        once more."""
        with self._lock:
            came, self._came = self._came, True
        if came or self.ask is None:
            raise ConnectionRefusedError("a process in the sandbox has one connection")
        self.ask()
        if not self._sealed.wait(self._seconds):
            raise TimeoutError("a process in the sandbox did not give up its rights")

    def sealed(self) -> None:
        """Note that the process is sealed."""
        self._sealed.set()
