"""A piece's lease is kept while it is worked on; work on a lost piece ends."""

from __future__ import annotations

import asyncio

import pytest

from server.sources.cuts import Uncut
from server.videos.keeping import Keeping, Lost
from server.videos.ledger import MemoryLedger, Taken, Terms
from server.videos.pieces import in_one_piece

pytestmark = pytest.mark.anyio


class Renewals(MemoryLedger):
    """A ledger that grants this many renewals, and records what each reports."""

    terms = Terms(lease=1.0, renew=0.001)

    def __init__(self, granted: int) -> None:
        super().__init__(in_one_piece(Uncut.SHORT))
        self.frames: list[int] = []
        self.renewed = asyncio.Event()
        self._granted = granted

    async def renew(self, taken: Taken, frames: int) -> bool:
        assert taken.piece.number == 0
        self.frames.append(frames)
        self.renewed.set()
        return len(self.frames) <= self._granted


async def taken(ledger: Renewals) -> Taken:
    found = await ledger.take()
    assert found is not None
    return found


async def test_a_piece_is_renewed_with_its_frames_until_the_block_ends() -> None:
    ledger = Renewals(10**9)
    async with Keeping(ledger, await taken(ledger)) as kept:
        kept.frames = 7
        await ledger.renewed.wait()
    assert set(ledger.frames) == {7}
    await asyncio.wait([kept._renewing])


async def test_a_block_ends_when_its_piece_is_lost() -> None:
    ledger = Renewals(2)
    with pytest.raises(Lost):
        async with Keeping(ledger, await taken(ledger)):
            await asyncio.Event().wait()
    assert len(ledger.frames) == 3


async def test_an_error_in_the_block_is_that_error() -> None:
    ledger = Renewals(0)
    with pytest.raises(ZeroDivisionError):
        async with Keeping(ledger, await taken(ledger)):
            raise ZeroDivisionError


async def test_a_block_that_is_cancelled_is_cancelled() -> None:
    ledger, begun = Renewals(10**9), asyncio.Event()

    async def work() -> None:
        async with Keeping(ledger, await taken(ledger)):
            begun.set()
            await asyncio.Event().wait()

    task = asyncio.create_task(work())
    await begun.wait()
    task.cancel()
    await asyncio.wait([task])
    assert task.cancelled()
