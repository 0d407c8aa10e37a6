"""Waiting on one event loop until a condition becomes true."""

from __future__ import annotations

import asyncio
from collections.abc import Callable


class Changes:
    """Wakes waiters to re-check their conditions; any number may wait, each for its own."""

    def __init__(self) -> None:
        self._changed = asyncio.Event()

    def notify(self) -> None:
        """Let all waiters in :meth:`until` re-check their conditions."""
        self._changed.set()

    async def until(self, met: Callable[[], bool]) -> None:
        """Wait until the condition holds; return at once if it does already."""
        while not met():
            self._changed.clear()
            await self._changed.wait()
