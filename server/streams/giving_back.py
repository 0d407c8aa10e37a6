"""Giving streams back as they end, so that other servers need not wait for the slowest."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Iterable

from server.errors import MastreamError
from server.streams.ownership import Ownership
from server.streams.running_streams import RunningStream
from server.streams.stored import placed

_log = logging.getLogger(__name__)


async def give_back(running: Iterable[RunningStream], ownership: Ownership) -> None:
    """End these streams and give each back, with its place, once it has ended. Idempotent.

    If the database fails for one of them, it is not asked again: the leases end by themselves, and
    each request may take long.
    """
    giving = _Giving(ownership)
    await asyncio.gather(*(giving.give(one) for one in running))


class _Giving:
    """Mutable state: the queue of streams that have ended, and whether one could not be given
    back."""

    def __init__(self, ownership: Ownership) -> None:
        self._ownership = ownership
        self._turn = asyncio.Lock()
        self._has_failed = False

    async def give(self, one: RunningStream) -> None:
        await one.end()
        async with self._turn, one.changing:
            if not self._has_failed:
                await self._release(one)

    async def _release(self, one: RunningStream) -> None:
        place = placed(one.stream.definition, one.stream.place)
        try:
            await self._ownership.release(one.held, place)
        except MastreamError as error:
            self._has_failed = True
            _log.warning("other servers get the streams only when the leases end: %s", error)
