"""Watching a camera across lost connections and restarts of the server."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing
from dataclasses import dataclass

from clients.python.errors import ClientError
from clients.python.reconnecting import Backoff, Lost, may_pass, may_resume, wait
from clients.python.stream import Mask


@dataclass(frozen=True, slots=True)
class Returned:
    """A viewer is connected again, ``after`` seconds without a connection."""

    after: float


OnViewerEvent = Callable[[Lost | Returned], None]
View = Callable[[Callable[[], None]], AsyncGenerator[Mask]]
"""Connects once and yields masks; calls its argument once it is connected."""


class Viewing:
    """Connects again as often as it takes.

    What fails before the first connection is raised, as it is likely to be a wrong address.
    Mutable state: whether there was a connection, since when there is none, and how often one was
    tried.
    """

    def __init__(self, view: View, backoff: Backoff, on_event: OnViewerEvent | None) -> None:
        self._view = view
        self._backoff = backoff
        self._on_event = on_event
        self._has_begun = False
        self._lost_at: float | None = None
        self._attempt = 0

    async def masks(self) -> AsyncGenerator[Mask]:
        """Yield the masks of one connection after the other, until the stream ends.

        Raises a ClientError if it cannot be watched any more, or if there was no connection for
        ``backoff.give_up`` seconds.
        """
        while True:
            try:
                async with aclosing(self._view(self._begin)) as masks:
                    async for mask in masks:
                        yield mask
            except ClientError as error:
                await self._wait(error)
            else:
                return

    def _begin(self) -> None:
        lost_at, self._lost_at = self._lost_at, None
        self._has_begun, self._attempt = True, 0
        if lost_at is not None:
            self._tell(Returned(time.monotonic() - lost_at))

    async def _wait(self, error: ClientError) -> None:
        """Wait until it is time to connect again. Raises the error if that is no use."""
        if not self._has_begun or not (may_resume(error) or may_pass(error)):
            raise error
        self._lost_at = time.monotonic() if self._lost_at is None else self._lost_at
        if time.monotonic() - self._lost_at >= self._backoff.give_up:
            raise error
        seconds = wait(error, self._backoff, self._attempt, random.random())
        self._attempt += 1
        self._tell(Lost(error, self._attempt, seconds))
        await asyncio.sleep(seconds)

    def _tell(self, event: Lost | Returned) -> None:
        if self._on_event is not None:
            self._on_event(event)
