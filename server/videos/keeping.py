"""Keeping a piece while it is worked on."""

from __future__ import annotations

import asyncio
from types import TracebackType
from typing import Self

from server.videos.ledger import Ledger, Taken


class Lost(Exception):
    """Another server has the piece that this one was working on, or the video has ended."""


class Keeping:
    """Keeps a piece's lease during a block, and reports how many of its ``frames`` are done; once
    the piece is lost, the block ends with Lost. Not a generator, for the same reason as in the
    recorder."""

    def __init__(self, ledger: Ledger, taken: Taken) -> None:
        self.frames = 0
        self._ledger = ledger
        self._taken = taken
        self._block = asyncio.timeout(None)

    async def __aenter__(self) -> Self:
        await self._block.__aenter__()
        self._renewing = asyncio.create_task(self._renew())
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._renewing.cancel()
        try:
            await self._block.__aexit__(kind, error, trace)
        except TimeoutError:
            raise Lost from None
        finally:
            del self._block  # it refers to the task, whose error may refer to this

    async def _renew(self) -> None:
        while True:
            await asyncio.sleep(self._ledger.terms.renew)
            if not await self._ledger.renew(self._taken, self.frames):
                self._block.reschedule(asyncio.get_running_loop().time())
                return
