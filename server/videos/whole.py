"""The work on a whole video at once, which one server has at a time: planning it, or joining it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

from server.database.piece_statements import Held
from server.errors import Fault, NoCapacity, Unavailable
from server.videos.durable_ledger import DurableLedger
from server.videos.keeping import Keeping, Lost
from server.videos.ledger import Taken
from server.videos.steps import Step

MAX_DEATHS = 3
"""How often servers may die while planning or joining a video before it fails."""

_log = logging.getLogger(__name__)


class Whole:
    """One video as a whole; ``is_next`` returns whether a step is the next one for the server that
    has the whole video.

    Mutable state: ``held``, the row with which the video may be ended; None if this server does not
    have it.
    """

    def __init__(self, ledger: DurableLedger, is_next: Callable[[Step], Awaitable[bool]]) -> None:
        self.held: Held | None = None
        self._ledger = ledger
        self._is_next = is_next

    @asynccontextmanager
    async def taken(self, step: Step) -> AsyncIterator[Taken]:
        """Take a step in the block; the whole is held afterwards, too, unless the block was
        interrupted. A Fault interrupts it, until it has failed as often as a piece may fail.

        Raises Lost if another server has the whole, or has already taken the step, and Fault if it
        failed or servers died in it too often.
        """
        taken = await self._ledger.take_whole()
        self.held = self._ledger.held(taken)
        try:
            await self._check(step, taken)
            async with Keeping(self._ledger, taken):
                yield taken
        except (asyncio.CancelledError, NoCapacity, Unavailable, Lost):
            await self.let_go(taken)
            raise
        except Fault as error:
            if await self._has_failed(step, taken, error):
                raise
            await self.let_go(taken)
            raise Lost from error

    async def let_go(self, taken: Taken) -> None:
        """Release the whole, so that any server can take it."""
        self.held = None
        await asyncio.shield(self._ledger.release(taken))

    async def _check(self, step: Step, taken: Taken) -> None:
        # Others may have had it since this server's last read.
        if not await self._is_next(step):
            raise Lost
        if taken.deaths >= MAX_DEATHS:
            raise Fault(
                f"The server died {MAX_DEATHS} times while it opened or joined this video: check "
                "its log."
            )

    async def _has_failed(self, step: Step, taken: Taken, error: Fault) -> bool:
        """Return whether a Fault ends the video; it does not if the whole was lost meanwhile, with
        its files."""
        failures = await self._ledger.fail(taken)
        if not failures:
            return False
        _log.warning("the step %s failed %d times: %s", step.value, failures, error, exc_info=error)
        if taken.deaths >= MAX_DEATHS or failures >= self._ledger.max_failures:
            return True
        self._ledger.rest()
        return False
