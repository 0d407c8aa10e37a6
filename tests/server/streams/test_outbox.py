"""Outbox: bounded, nothing answered twice, and which masks are dropped when it is full."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

import numpy as np
import pytest

import protocol
from protocol import DropCause
from server.errors import EngineFault, TooSlow
from server.frame import Dropped, Frame, Mask
from server.streams.byte_budget import ByteBudget
from server.streams.frame_ledger import FrameLedger
from server.streams.outbox import MAX_NOTICES, MAX_SEQS, Outbox, failure

pytestmark = pytest.mark.anyio

T = TypeVar("T")


def mask(seq: int, kept: int = 0) -> Mask:
    """One that keeps ``kept`` bytes of its picture, and 16 of its own."""
    labels = np.zeros((2, 2), np.uint8)
    original = np.zeros((kept // 3, 1, 3), np.uint8) if kept else None
    return Mask(labels, Frame(np.zeros((2, 2, 3), np.uint8), seq, original=original))


def filled(outbox: Outbox, *seqs: int) -> Outbox:
    for seq in seqs:
        outbox._ledger.expect(seq)
        outbox.mask(mask(seq))
    return outbox


async def drained(outbox: Outbox) -> list[object]:
    """Return all its messages: seqs of masks, and notices."""
    outbox.close()
    told: list[object] = []
    while (item := await outbox.take()) is not None:
        outbox.sent(item)
        told.append(item.frame.seq if isinstance(item, Mask) else item)
    return told


async def soon(work: Awaitable[T]) -> T:
    return await asyncio.wait_for(work, 10)


async def test_masks_come_in_order_behind_notices() -> None:
    outbox = filled(Outbox(4), 1, 2)
    outbox.notice(protocol.Pong())
    assert await soon(drained(outbox)) == [protocol.Pong(), 1, 2]


async def test_the_oldest_mask_goes_when_it_is_full_and_is_reported() -> None:
    lost: list[None] = []
    ledger = FrameLedger()
    outbox = filled(Outbox(2, lambda: lost.append(None), ledger), 1, 2, 3, 4)
    slow = protocol.Dropped((1, 2), protocol.DropCause.CLIENT_SLOW)
    assert await soon(drained(outbox)) == [slow, 3, 4]
    assert len(lost) == 2
    assert ledger.unanswered == 0


async def test_losses_of_one_cause_are_reported_together_and_of_two_apart() -> None:
    outbox = Outbox(4)
    outbox.dropped([Dropped(1, DropCause.NEWER), Dropped(2, DropCause.NEWER)])
    outbox.dropped([Dropped(3, DropCause.STALE)])
    outbox.dropped([Dropped(4, DropCause.STALE)])
    assert await soon(drained(outbox)) == [
        protocol.Dropped((1, 2), protocol.DropCause.NEWER),
        protocol.Dropped((3, 4), protocol.DropCause.STALE),
    ]


async def test_a_loss_with_a_detail_is_reported_alone() -> None:
    outbox = Outbox(4)
    undecodable = protocol.DropCause.UNDECODABLE
    outbox.notice(protocol.Dropped((1,), undecodable, "cut off"))
    outbox.dropped([Dropped(2, DropCause.UNDECODABLE)])
    assert [one.seqs for one in await soon(drained(outbox))] == [(1,), (2,)]


async def test_one_message_reports_a_bounded_number_of_losses() -> None:
    outbox = Outbox(4)
    for seq in range(MAX_SEQS + 5):
        outbox.dropped([Dropped(seq, DropCause.NEWER)])
    assert [len(one.seqs) for one in await soon(drained(outbox))] == [MAX_SEQS, 5]


async def test_a_frame_is_unanswered_until_its_answer_is_sent() -> None:
    ledger = FrameLedger()
    outbox = filled(Outbox(4, ledger=ledger), 1)
    ledger.expect(2)
    ledger.expect(3)
    outbox.dropped([Dropped(2, DropCause.NEWER)])
    outbox.failed(3, EngineFault("it broke"))
    assert ledger.unanswered == 3
    await soon(drained(outbox))
    assert ledger.unanswered == 0


async def test_room_is_waited_for_until_an_answer_is_sent() -> None:
    ledger = FrameLedger()
    outbox = filled(Outbox(4, ledger=ledger), 1, 2)
    waiting = asyncio.create_task(ledger.wait_for_answers(2))
    item = await outbox.take()
    assert item is not None and not waiting.done()
    outbox.sent(item)
    await waiting


async def test_take_waits_for_something_to_come() -> None:
    outbox = Outbox(4)
    taking = asyncio.create_task(outbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    outbox.mask(mask(5))
    item = await taking
    assert isinstance(item, Mask) and item.frame.seq == 5


async def test_a_client_that_lets_too_many_notices_wait_is_given_up() -> None:
    outbox = Outbox(4)
    for _ in range(MAX_NOTICES + 1):
        outbox.notice(protocol.Pong())
    with pytest.raises(TooSlow):
        await soon(outbox.take())


def test_a_failure_of_ours_is_reported_and_a_foreign_one_only_as_a_fault() -> None:
    ours = failure(EngineFault("the step failed"), 7)
    assert (ours.code, ours.detail, ours.seq) == ("engine_fault", "the step failed", 7)
    foreign = failure(RuntimeError("password=secret"), fatal=True)
    assert foreign.code == "fault" and foreign.fatal and "secret" not in foreign.detail


async def test_the_oldest_masks_go_when_they_keep_too_many_bytes() -> None:
    lost: list[None] = []
    outbox = Outbox(9, lambda: lost.append(None), FrameLedger(limit=1000))
    for seq in range(4):
        outbox.mask(mask(seq, kept=300))
    assert len(lost) == 1
    outbox.mask(mask(4, kept=3000))
    assert len(lost) == 4
    slow = protocol.Dropped((0, 1, 2, 3), protocol.DropCause.CLIENT_SLOW)
    assert await soon(drained(outbox)) == [slow, 4]


async def test_the_oldest_masks_go_when_all_streams_hold_too_much() -> None:
    budget = ByteBudget(1000)
    theirs = Outbox(9, ledger=FrameLedger(budget))
    theirs.mask(mask(0, kept=3000))
    ours = filled(Outbox(9, ledger=FrameLedger(budget)), 1, 2)
    slow = protocol.Dropped((1,), protocol.DropCause.CLIENT_SLOW)
    assert await soon(drained(ours)) == [slow, 2]
    assert await soon(drained(theirs)) == [0]
    assert budget.held == 0


async def test_an_answer_of_any_kind_frees_what_was_held() -> None:
    budget = ByteBudget()
    ledger = FrameLedger(budget)
    outbox = Outbox(4, ledger=ledger)
    for seq in range(4):
        ledger.expect(seq)
        ledger.packet(seq, 100)
    outbox.dropped([Dropped(0, DropCause.NEWER)])
    outbox.failed(1, EngineFault("it broke"))
    outbox.notice(protocol.Dropped((2,), DropCause.UNDECODABLE, "cut off"))
    assert budget.held == 100
    outbox.mask(mask(3, kept=300))
    assert budget.held == 316
    await soon(drained(outbox))
    assert budget.held == 0


async def test_where_all_are_kept_space_is_waited_for() -> None:
    ledger = FrameLedger(limit=1000)
    outbox = Outbox(1, ledger=ledger)
    outbox.keeps_all = True
    await ledger.wait_for_space()
    for seq in range(4):
        outbox.mask(mask(seq, kept=600))
    waiting = asyncio.create_task(ledger.wait_for_space())
    taken = []
    while not waiting.done():
        item = await outbox.take()
        assert isinstance(item, Mask)
        outbox.sent(item)
        taken.append(item.frame.seq)
        await asyncio.sleep(0)
    assert taken == [0, 1, 2]
