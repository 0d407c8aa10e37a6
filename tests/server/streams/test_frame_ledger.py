"""FrameLedger: the counts of a stream, and which streams wait when all together hold too much."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

import pytest

from server.streams.byte_budget import ByteBudget
from server.streams.frame_ledger import FrameLedger

pytestmark = pytest.mark.anyio


async def waits(turn: Callable[[], Awaitable[None]], until: Callable[[], None]) -> None:
    """Check that the wait ends only after ``until`` was called."""
    waiting = asyncio.ensure_future(turn())
    await asyncio.sleep(0)
    assert not waiting.done()
    until()
    await asyncio.wait_for(waiting, 10)


def test_a_frame_is_counted_once_whatever_has_become_of_it() -> None:
    budget = ByteBudget()
    ledger = FrameLedger(budget)
    ledger.packet(1, 10)
    ledger.picture(1, 600)
    ledger.picture(1, 700)
    assert budget.held == 700
    ledger.free([1])
    ledger.free([1, 2])
    assert budget.held == 0


def test_a_stream_that_is_over_leaves_nothing_and_counts_no_more() -> None:
    budget = ByteBudget()
    ledger = FrameLedger(budget)
    ledger.packet(1, 10)
    ledger.picture(2, 20)
    ledger.close()
    ledger.picture(3, 30)
    assert budget.held == 0


@pytest.mark.parametrize("stage", ["packet", "picture"])
async def test_a_spent_budget_lets_a_stream_be_read_when_all_of_its_own_is_answered(
    stage: str,
) -> None:
    budget = ByteBudget(100)
    ours, theirs = FrameLedger(budget), FrameLedger(budget)
    theirs.picture(1, 100)
    await ours.wait_to_read()
    getattr(ours, stage)(1, 5)
    await waits(ours.wait_to_read, lambda: ours.free([1]))
    assert budget.is_spent


async def test_a_spent_budget_lets_a_stream_decode_one_picture_at_a_time() -> None:
    budget = ByteBudget(100)
    ours = FrameLedger(budget)
    ours.packet(1, 60)
    ours.packet(2, 60)
    await ours.wait_to_decode()
    ours.picture(1, 600)
    await waits(ours.wait_to_decode, lambda: ours.free([1]))


async def test_a_stream_continues_at_once_where_another_has_left_room() -> None:
    budget = ByteBudget(100)
    ours, theirs = FrameLedger(budget), FrameLedger(budget)
    theirs.picture(1, 100)
    ours.packet(1, 5)
    theirs.close()
    await ours.wait_to_read()


def test_an_answer_is_owed_once_and_until_it_is_sent() -> None:
    ledger = FrameLedger()
    ledger.expect(1)
    ledger.expect(1)
    ledger.packet(1, 10)
    ledger.packet(2, 10)
    ledger.free([1, 2])
    assert ledger.unanswered == 1
    ledger.answered([1])
    ledger.answered([1, 2])
    assert ledger.unanswered == 0


async def test_answers_are_waited_for_until_one_is_sent() -> None:
    ledger = FrameLedger()
    ledger.expect(1)
    await ledger.wait_for_answers(2)
    await waits(lambda: ledger.wait_for_answers(1), lambda: ledger.answered([1]))
