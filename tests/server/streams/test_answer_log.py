"""AnswerLog: the answers of a session whose socket is lost."""

from __future__ import annotations

import numpy as np
import pytest

import protocol
from protocol import DropCause
from server.errors import EngineFault
from server.frame import Dropped, Frame, Mask
from server.streams.answer_log import AnswerLog
from server.streams.byte_budget import ByteBudget
from server.streams.outbox import Answer, Outbox, Packed

pytestmark = pytest.mark.anyio

PIXELS = np.zeros((2, 2, 3), np.uint8)
LABELS = np.zeros((2, 2), np.uint8)
MASK_BYTES = PIXELS.nbytes + LABELS.nbytes


def mask(seq: int) -> Mask:
    return Mask(LABELS, Frame(PIXELS, seq))


def attached(most: int = 4, limit: int = 1000, budget: int = 1000) -> tuple[AnswerLog, Outbox]:
    log, outbox = AnswerLog(most, limit, ByteBudget(budget)), Outbox(8)
    outbox.keeps_all = True
    log.attach(outbox)
    return log, outbox


def moved(log: AnswerLog) -> Outbox:
    """The outbox of the next socket."""
    log.detach()
    outbox = Outbox(8)
    outbox.keeps_all = True
    log.attach(outbox)
    return outbox


async def sent(log: AnswerLog, outbox: Outbox) -> Answer | None:
    """Return the message that is sent next, after keeping it, as the socket does."""
    item = await outbox.take()
    assert item is not None
    log.keep(Packed(item.frame.seq, b"mask") if isinstance(item, Mask) else item)
    outbox.sent(item)
    return item


async def told(outbox: Outbox) -> list[Answer]:
    outbox.close()
    found = []
    while (item := await outbox.take()) is not None:
        found.append(item)
        outbox.sent(item)
    return found


async def test_an_answer_that_was_sent_is_sent_again_if_its_frame_comes_again() -> None:
    log, outbox = attached()
    log.offered(0)
    log.mask(mask(0))
    await sent(log, outbox)
    outbox = moved(log)
    log.again(0)
    (again,) = await told(outbox)
    assert isinstance(again, Packed)
    assert (again.seq, again.data) == (0, b"mask")


async def test_what_the_outbox_still_had_is_sent_again_too() -> None:
    log, outbox = attached()
    for seq in range(3):
        log.offered(seq)
    masks = [mask(0), mask(1)]
    for one in masks:
        log.mask(one)
    log.failed(2, EngineFault("It broke."))
    taken = await outbox.take()  # notices come first; its sending is cut off
    assert isinstance(taken, protocol.Failure)
    outbox = moved(log)
    for seq in range(3):
        log.again(seq)
    failed, *found = await told(outbox)
    assert found == masks
    assert isinstance(failed, protocol.Failure) and failed.seq == 2


async def test_an_answer_that_comes_while_there_is_no_socket_is_kept() -> None:
    log, _ = attached()
    log.offered(0)
    log.detach()
    late = mask(0)
    log.mask(late)
    outbox = moved(log)
    log.again(0)
    assert await told(outbox) == [late]


async def test_a_frame_that_is_still_in_the_session_is_answered_when_it_is_ready() -> None:
    log, _ = attached()
    log.offered(0)
    outbox = moved(log)
    log.again(0)
    late = mask(0)
    log.mask(late)
    assert await told(outbox) == [late]


async def test_a_frame_that_is_not_sent_again_gets_no_answer() -> None:
    log, _ = attached()
    log.offered(0)
    outbox = moved(log)
    log.offered(1)
    mine = mask(1)
    log.mask(mask(0))
    log.dropped([])
    log.mask(mine)
    assert await told(outbox) == [mine]


async def test_dropped_frames_of_both_sockets_are_distinguished() -> None:
    log, _ = attached()
    log.offered(0)
    outbox = moved(log)
    log.offered(1)
    log.dropped([Dropped(0, DropCause.NEWER), Dropped(1, DropCause.NEWER)])
    assert await told(outbox) == [protocol.Dropped((1,), DropCause.NEWER)]


async def test_each_frame_of_one_drop_report_is_kept() -> None:
    log, outbox = attached()
    log.offered(0)
    log.offered(1)
    log.dropped([Dropped(0, DropCause.STALE), Dropped(1, DropCause.STALE)])
    await sent(log, outbox)
    outbox = moved(log)
    log.again(1)
    assert await told(outbox) == [protocol.Dropped((1,), DropCause.STALE)]


async def test_an_answer_too_old_to_be_kept_is_a_loss() -> None:
    log, outbox = attached(most=2)
    for seq in range(3):
        log.offered(seq)
        log.mask(mask(seq))
        await sent(log, outbox)
    outbox = moved(log)
    for seq in range(3):
        log.again(seq)
    lost, *kept = await told(outbox)
    assert lost == protocol.Dropped((0,), DropCause.CLIENT_SLOW)
    assert [one.seq for one in kept if isinstance(one, Packed)] == [1, 2]


@pytest.mark.parametrize(("limit", "budget"), [(2 * MASK_BYTES, 1000), (1000, 3 * MASK_BYTES)])
async def test_kept_answers_stay_within_their_bytes(limit: int, budget: int) -> None:
    log, _ = attached(limit=limit, budget=budget)
    log.detach()
    for seq in range(4):
        log.keep(mask(seq))
    assert log.nbytes == 2 * MASK_BYTES
    log.close()
    log.keep(mask(9))
    assert log.nbytes == 0
    assert repr(log) == "<AnswerLog detached processed=-1 0 kept>"


async def test_without_resuming_nothing_is_kept() -> None:
    log, outbox = attached(most=0)
    log.offered(0)
    log.mask(mask(0))
    await sent(log, outbox)
    assert log.nbytes == 0
