"""Waiting before each attempt to connect again."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Callable

from clients.python.errors import ClientError
from clients.python.reconnecting import Backoff, Lost, wait


class Retries:
    """Counts the attempts since the connection was lost; ``report`` receives a Lost for each.

    Mutable state: since when there has been no working connection, and the number of attempts.
    """

    def __init__(self, backoff: Backoff, report: Callable[[Lost], None]) -> None:
        self._backoff = backoff
        self._report = report
        self._lost_at: float | None = None
        self._attempt = 0

    @property
    def seconds(self) -> float:
        """Return for how many seconds there has been no working connection."""
        return 0.0 if self._lost_at is None else time.monotonic() - self._lost_at

    async def wait(self, error: ClientError, at_once: bool = False) -> None:
        """Wait until it is time for the next attempt, after ``error`` ended the connection or the
        last attempt; do not wait if ``at_once``. Raises the error if there was no connection for
        ``give_up`` seconds."""
        if self._lost_at is None:
            self._lost_at = time.monotonic()
        if self.seconds >= self._backoff.give_up:
            raise error
        chance = random.random()
        seconds = 0.0 if at_once else wait(error, self._backoff, self._attempt, chance)
        self._attempt += 1
        self._report(Lost(error, self._attempt, seconds))
        await asyncio.sleep(seconds)

    def succeeded(self) -> None:
        """Count from 0 again: the connection works."""
        self._lost_at, self._attempt = None, 0
