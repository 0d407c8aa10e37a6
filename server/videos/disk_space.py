"""Free disk space: videos pause before the disk is full, and continue by themselves."""

from __future__ import annotations

import asyncio
import logging
import shutil
from collections.abc import Callable
from pathlib import Path

from server.changes import Changes

POLL_SECONDS = 1.0
REASON = "The server's disk is nearly full: the video continues when there is room."

_log = logging.getLogger(__name__)


def enough(free: int, pause_below: int, *, paused: bool) -> bool:
    """Return whether videos may write while ``free`` bytes are left.

    Once paused, they need twice as much, so that they do not pause and continue with every byte.
    """
    return free >= (2 * pause_below if paused else pause_below)


def free_bytes(folder: Path) -> int:
    """Return the free space, in bytes, of the file system that holds a folder."""
    return shutil.disk_usage(folder).free


class DiskSpace:
    """Watches the free space of ``folder``, and makes writers into it wait.

    Mutable state: whether videos are paused. ``measure`` replaces :func:`free_bytes` in tests.
    """

    def __init__(
        self, folder: Path, pause_below: int, measure: Callable[[Path], int] = free_bytes
    ) -> None:
        self._folder = folder
        self._pause_below = pause_below
        self._measure = measure
        self._changes = Changes()
        self.paused = False

    def __repr__(self) -> str:
        return f"<DiskSpace {self._folder} paused={self.paused}>"

    @property
    def reason(self) -> str | None:
        """Return why videos wait, as one sentence for users; None if they do not."""
        return REASON if self.paused else None

    def full(self) -> None:
        """Pause until the next check, since a write has failed with DiskFull."""
        self._set(paused=True)

    async def wait_for_room(self) -> None:
        """Wait while videos are paused."""
        await self._changes.until(lambda: not self.paused)

    async def watch(self) -> None:
        """Check the free space every ``POLL_SECONDS``, until cancelled."""
        while True:
            await asyncio.sleep(POLL_SECONDS)
            await self.look()

    async def look(self) -> None:
        """Check once. Failures, such as a file system that does not answer, change nothing."""
        try:
            free = await asyncio.to_thread(self._measure, self._folder)
        except Exception:
            _log.exception("the free space of %s is unknown", self._folder)
            return
        self._set(paused=not enough(free, self._pause_below, paused=self.paused))

    def _set(self, *, paused: bool) -> None:
        if paused != self.paused:
            _log.warning("videos pause: the disk is nearly full" if paused else "videos continue")
        self.paused = paused
        self._changes.notify()
