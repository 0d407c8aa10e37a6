"""What streams keep in memory, in bytes: what one of them may, and all of them together."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

from server.settings import STREAM_BYTES, TOTAL_BYTES


class Budget:
    """What all streams together may hold. Mutable state: ``held``, what they do."""

    def __init__(self, limit: int = TOTAL_BYTES) -> None:
        self.limit = limit
        self.held = 0

    def __repr__(self) -> str:
        return f"<Budget {self.held} of {self.limit} bytes>"

    @property
    def is_spent(self) -> bool:
        return self.held >= self.limit


class StreamBytes:
    """What one stream holds of each frame: its packet until it is decoded, then its picture,
    at last its mask.

    One event loop uses it. Where the budget is spent, a stream goes on once nothing of its own
    is on the way: so each always comes to its answers, and all together hold no more than the
    budget and one message and one picture each.
    """

    def __init__(self, budget: Budget | None = None, limit: int = STREAM_BYTES) -> None:
        self._budget = budget or Budget()
        self._limit = limit
        self._packets: dict[int, int] = {}
        self._pictures: dict[int, int] = {}
        self._closed = False
        self._freed = asyncio.Event()

    def __repr__(self) -> str:
        return f"<StreamBytes {len(self._packets)} packets, {len(self._pictures)} pictures>"

    @property
    def is_overfull(self) -> bool:
        """Whether pictures pass the stream's own limit, or all streams theirs."""
        return self._own() > self._limit or self._budget.held > self._budget.limit

    def packet(self, seq: int, nbytes: int) -> None:
        """A packet waits to be decoded."""
        self._hold(self._packets, seq, nbytes)

    def picture(self, seq: int, nbytes: int) -> None:
        """In place of its packet, or of what was held of it so far, there is this."""
        self.free([seq])
        self._hold(self._pictures, seq, nbytes)

    def free(self, seqs: Iterable[int]) -> None:
        """Nothing of these is kept any more. Twice is harmless."""
        for seq in seqs:
            self._budget.held -= self._packets.pop(seq, 0) + self._pictures.pop(seq, 0)
        self._freed.set()

    def close(self) -> None:
        """The stream is over: all is freed, and nothing counted from now on."""
        self._closed = True
        self.free([*self._packets, *self._pictures])

    async def wait_to_read(self) -> None:
        """Wait while the budget is spent and anything of this stream is on the way."""
        while self._budget.is_spent and (self._packets or self._pictures):
            await self._wait()

    async def wait_to_decode(self) -> None:
        """Wait while the budget is spent and a picture of this stream is on the way."""
        while self._budget.is_spent and self._pictures:
            await self._wait()

    async def space(self) -> None:
        """Wait until this stream's pictures are below its own limit."""
        while self._own() >= self._limit:
            await self._wait()

    async def _wait(self) -> None:
        self._freed.clear()
        await self._freed.wait()

    def _own(self) -> int:
        return sum(self._pictures.values())

    def _hold(self, held: dict[int, int], seq: int, nbytes: int) -> None:
        if not self._closed:
            held[seq] = nbytes
            self._budget.held += nbytes
