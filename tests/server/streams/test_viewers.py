"""Viewers of one stream: a late one gets the newest mask, a slow one loses only its own masks."""

from __future__ import annotations

import asyncio
from dataclasses import replace
from fractions import Fraction

import numpy as np
import pytest

from protocol import DropCause
from server.frame import Dropped, Frame, Mask
from server.streams import viewers as viewers_module
from server.streams.outbox import Outbox
from server.streams.viewers import UNSENT, Viewers

pytestmark = pytest.mark.anyio


def mask(seq: int) -> Mask:
    pixels = np.full((16, 32, 3), 200, np.uint8)
    frame = Frame(pixels, seq, pts=Fraction(seq), size=(32, 64))
    return Mask(np.full((16, 32), seq % 11, np.uint8), frame)


async def seqs(outbox: Outbox) -> list[int]:
    outbox.close()
    found = []
    while (item := await outbox.take()) is not None:
        if isinstance(item, Mask):
            found.append(item.frame.seq)
        outbox.sent(item)
    return found


async def test_every_viewer_gets_every_mask_that_it_has_room_for() -> None:
    seen: list[int] = []
    viewers = Viewers(lambda one: seen.append(one.frame.seq))
    early = viewers.join()
    viewers.mask(mask(1))
    late = viewers.join()
    viewers.mask(mask(2))
    assert seen == [1, 2]
    assert await seqs(early) == [1, 2]
    assert await seqs(late) == [1, 2], "the newest at once, then what comes"


async def test_masks_wait_until_they_may_be_sent_and_none_is_lost_or_out_of_order() -> None:
    may_send, seen, lost = True, list[int](), list[str]()
    viewers = Viewers(lambda one: seen.append(one.frame.seq), lost.append, lambda: may_send)
    viewers.mask(mask(0))
    may_send = False
    viewers.mask(mask(1))
    viewers.mask(mask(2))
    waiting = asyncio.create_task(viewers.wait_to_send())
    await asyncio.sleep(0)
    assert seen == [0] and not waiting.done()
    may_send = True
    await waiting
    assert seen == [0, 1, 2]
    may_send = False
    viewers.mask(mask(3))
    may_send = True
    viewers.mask(mask(4))
    assert (seen, lost) == ([0, 1, 2, 3, 4], [])


async def test_masks_that_may_not_be_sent_are_lost_beyond_a_few_and_when_the_stream_ends() -> None:
    seen, lost = list[int](), list[str]()
    viewers = Viewers(lambda one: seen.append(one.frame.seq), lost.append, lambda: False)
    for seq in range(UNSENT + 3):
        viewers.mask(mask(seq))
    assert lost == ["moved"] * 3
    viewers.close()
    viewers.mask(mask(99))
    assert lost == ["moved"] * (UNSENT + 4) and seen == []


async def test_a_slow_viewer_loses_the_oldest_and_nobody_else_does() -> None:
    lost: list[None] = []
    viewers = Viewers()
    slow, quick = viewers.join(lambda: lost.append(None)), viewers.join()
    taken = []
    for seq in range(5):
        viewers.mask(mask(seq))
        item = await quick.take()
        assert isinstance(item, Mask)
        taken.append(item.frame.seq)
        quick.sent(item)
    assert taken == [0, 1, 2, 3, 4]
    assert (await seqs(slow), len(lost)) == ([3, 4], 3)


async def test_who_leaves_holds_nothing() -> None:
    viewers = Viewers()
    outbox = viewers.join()
    viewers.leave(outbox)
    viewers.leave(outbox)
    viewers.mask(mask(1))
    assert len(viewers) == 0
    assert await seqs(outbox) == []


async def test_losses_of_the_stream_are_counted_not_sent() -> None:
    causes: list[str] = []
    viewers = Viewers(on_loss=causes.append)
    outbox = viewers.join()
    viewers.dropped([Dropped(1, DropCause.NEWER)])
    viewers.failed(2, ValueError())
    assert causes == ["newer", "failed"]
    assert await seqs(outbox) == []


async def test_the_next_mask_is_waited_for_until_the_stream_is_over() -> None:
    viewers = Viewers()
    viewers.mask(mask(1))
    first = await viewers.next_after(None)
    assert first is not None and first.frame.seq == 1
    waiting = asyncio.ensure_future(viewers.next_after(1))
    await asyncio.sleep(0)
    assert not waiting.done()
    viewers.mask(mask(2))
    second = await waiting
    assert second is not None and second.frame.seq == 2
    ending = asyncio.ensure_future(viewers.next_after(2))
    await asyncio.sleep(0)
    viewers.close()
    assert await ending is None


async def test_who_comes_after_the_end_gets_the_end() -> None:
    viewers = Viewers()
    viewers.mask(mask(1))
    viewers.close()
    async with asyncio.timeout(5):
        assert await viewers.join().take() is None


async def test_the_last_to_leave_is_waited_for() -> None:
    viewers = Viewers()
    outbox = viewers.join()
    waiting = asyncio.create_task(viewers.all_left())
    await asyncio.sleep(0)
    assert not waiting.done()
    viewers.leave(outbox)
    async with asyncio.timeout(5):
        await waiting


async def test_what_slow_viewers_lose_is_counted_apart() -> None:
    losses: list[str] = []
    viewers = Viewers(on_loss=losses.append)
    viewers.join()
    for seq in range(5):
        viewers.mask(mask(seq))
    assert viewers.lost == 5 - viewers_module.VIEWER_MASKS
    assert losses == [], "the stream has lost nothing"


def test_the_newest_mask_has_an_age() -> None:
    viewers = Viewers()
    assert viewers.age(7.0) is None
    viewers.mask(replace(mask(1), frame=replace(mask(1).frame, arrived=5.0)))
    assert viewers.age(7.5) == 2.5
