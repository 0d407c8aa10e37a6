"""Inbox: which packets wait to be decoded, and which are dropped."""

from __future__ import annotations

import asyncio

import pytest

from protocol import DropCause, DropPolicy
from server.frame import Dropped
from server.sources.pictures.packets import Packet
from server.streams.inbox import Inbox

pytestmark = pytest.mark.anyio


def packet(seq: int, reset: bool = False, replay: bool = False) -> Packet:
    return Packet(b"", seq, 0.0, reset=reset, replay=replay)


async def left(inbox: Inbox) -> list[Packet]:
    inbox.close()
    taken = []
    while (one := await inbox.take()) is not None:
        taken.append(one)
    return taken


async def test_latest_keeps_the_newest() -> None:
    inbox = Inbox(DropPolicy.LATEST)
    assert inbox.put(packet(1)) == []
    assert inbox.put(packet(2)) == [Dropped(1, DropCause.NEWER)]
    assert [one.seq for one in await left(inbox)] == [2]


async def test_every_keeps_all_in_order() -> None:
    inbox = Inbox(DropPolicy.EVERY)
    assert [inbox.put(packet(seq)) for seq in range(3)] == [[], [], []]
    assert [one.seq for one in await left(inbox)] == [0, 1, 2]


async def test_a_reset_passes_to_the_packet_that_takes_its_place() -> None:
    inbox = Inbox(DropPolicy.LATEST)
    inbox.put(packet(1, reset=True))
    inbox.put(packet(2))
    assert [(one.seq, one.reset) for one in await left(inbox)] == [(2, True)]


async def test_replayed_packets_are_never_lost() -> None:
    inbox = Inbox(DropPolicy.LATEST)
    inbox.put(packet(1, replay=True))
    inbox.put(packet(2, replay=True))
    assert inbox.put(packet(3)) == []
    assert inbox.put(packet(4)) == [Dropped(3, DropCause.NEWER)]
    assert [one.seq for one in await left(inbox)] == [1, 2, 4]


async def test_take_waits_for_a_packet() -> None:
    inbox = Inbox()
    taking = asyncio.create_task(inbox.take())
    await asyncio.sleep(0)
    assert not taking.done()
    inbox.put(packet(7))
    taken = await asyncio.wait_for(taking, 10)
    assert taken is not None and taken.seq == 7


@pytest.mark.parametrize("policy", DropPolicy)
async def test_room_is_waited_for_while_a_window_waits_that_may_not_be_lost(
    policy: DropPolicy,
) -> None:
    inbox = Inbox(policy)
    for seq in range(2):
        inbox.put(packet(seq, replay=True))
    await asyncio.wait_for(inbox.wait_for_room(3), 10)
    waiting = asyncio.create_task(inbox.wait_for_room(2))
    await asyncio.sleep(0)
    assert not waiting.done()
    await inbox.take()
    await asyncio.wait_for(waiting, 10)


async def test_a_packet_that_gives_way_needs_no_room() -> None:
    inbox = Inbox(DropPolicy.LATEST)
    inbox.put(packet(0))
    await asyncio.wait_for(inbox.wait_for_room(1), 10)
