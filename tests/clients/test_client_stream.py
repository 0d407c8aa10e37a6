"""A stream's life: results, losses, errors, and leaving early."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Iterator
from typing import Any

import numpy as np
import pytest

from clients.python import (
    BadFootage,
    ClientError,
    Frame,
    GoneAway,
    NotOurs,
    ServerFault,
    Unreachable,
    connect,
)
from protocol import (
    DropCause,
    Dropped,
    End,
    Failure,
    GoingAway,
    MaskEncoding,
    MaskHeader,
    MaskMemory,
    Ping,
    Pong,
    StageTimes,
    pack,
)

pytestmark = pytest.mark.anyio

JPEG = b"\xff\xd8\xff a picture"


async def segment(url: str, frames: Any, **options: Any) -> tuple[list[Any], Any]:
    """All masks, and the ledger."""
    async with connect(url, **options) as stream:
        return [mask async for mask in stream.segment(frames)], stream.ledger


async def test_every_frame_gets_its_mask(obliging: Any) -> None:
    frames = [Frame(JPEG, 0.0), Frame(JPEG, 0.5), Frame(JPEG, 1.0)]
    masks, ledger = await segment(obliging.url, frames)
    assert [mask.seq for mask in masks] == [0, 1, 2]
    assert [mask.labels.max() for mask in masks] == [0, 1, 0]
    assert masks[0].labels.shape == (4, 6)
    assert [mask.frame for mask in masks] == frames
    assert all(mask.round_trip > 0 for mask in masks)
    assert (ledger.sent, ledger.masks, ledger.unanswered) == (3, 3, 0)
    assert ledger.answered_once


@pytest.mark.parametrize("encoding", ["png", "rle", "raw"])
async def test_masks_in_any_encoding(small_server: Any, encoding: str) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.mask(0, encoding)
        await talk.answer_all()

    masks, _ = await segment(small_server(handler).url, [JPEG], output=encoding)
    assert (masks[0].labels == np.zeros((4, 6))).all()


async def test_areas_alone_have_no_labels(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.mask(0, "none", areas={"sky": 1.0}, memory=MaskMemory(2), ms=StageTimes(1, 2))
        await talk.answer_all()

    (mask,), _ = await segment(small_server(handler).url, [JPEG], output="none")
    assert mask.labels is None
    assert mask.header.areas == {"sky": 1.0}
    assert mask.header.memory.filled == 2
    assert mask.header.ms.total == 3


async def test_an_overlay_comes_next_to_the_mask(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        header = MaskHeader(seq=0, encoding=MaskEncoding.RAW, width=2, height=1, overlay=4)
        await talk.socket.send(pack(header, b"\0\1jpeg"))
        await talk.answer_all()

    (mask,), _ = await segment(small_server(handler).url, [JPEG], overlay=True)
    assert mask.labels.tolist() == [[0, 1]]
    assert mask.overlay == b"jpeg"


async def test_frames_say_their_time_and_reset_and_arrays_are_encoded(small_server: Any) -> None:
    heard = []

    async def handler(talk: Any) -> None:
        await talk.greet()
        while (frame := await talk.frame()) is not None:
            heard.append(frame)
            await talk.mask(frame[0].seq)
        await talk.say(End())

    picture = np.zeros((4, 6, 3), np.uint8)
    await segment(small_server(handler).url, [Frame(JPEG, 1.5), Frame(picture, 2.0, reset=True)])
    assert heard[0][0].to_dict() == {"seq": 0, "pts": 1.5}
    assert heard[0][1] == JPEG
    assert heard[1][0].to_dict() == {"seq": 1, "pts": 2.0, "reset": True}
    assert heard[1][1].startswith(b"\xff\xd8\xff")


async def test_async_iterables_serve_too(obliging: Any) -> None:
    async def frames() -> AsyncIterator[bytes]:
        for _ in range(3):
            await asyncio.sleep(0)
            yield JPEG

    masks, _ = await segment(obliging.url, frames())
    assert len(masks) == 3


async def test_no_more_than_a_window_is_unanswered(small_server: Any) -> None:
    waiting = []

    async def handler(talk: Any) -> None:
        await talk.greet(window=2)
        held: list[int] = []
        while (frame := await talk.frame()) is not None:
            held.append(frame[0].seq)
            waiting.append(len(held))
            if len(held) == 2:
                await talk.mask(held.pop(0))
        for seq in held:
            await talk.mask(seq)
        await talk.say(End())

    masks, _ = await segment(small_server(handler).url, [JPEG] * 9)
    assert len(masks) == 9
    assert max(waiting) == 2


async def test_losses_are_reported_and_counted(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(window=8)
        for _ in range(5):
            await talk.frame()
        await talk.say(Dropped((0, 2), DropCause.NEWER))
        await talk.say(Failure("undecodable", "no picture", 422, seq=1))
        await talk.say(Dropped((3,), DropCause.STALE))
        await talk.mask(4)
        await talk.answer_all()

    drops: list[Dropped] = []
    failures: list[Failure] = []
    masks, ledger = await segment(
        small_server(handler).url,
        [JPEG] * 5,
        on_dropped=drops.append,
        on_failure=failures.append,
    )
    assert [mask.seq for mask in masks] == [4]
    assert [drop.seqs for drop in drops] == [(0, 2), (3,)]
    assert [failure.detail for failure in failures] == ["no picture"]
    assert ledger.dropped == {"newer": 2, "stale": 1}
    assert (ledger.failed, ledger.unanswered, ledger.doubled) == (1, 0, 0)


async def test_what_is_not_answered_exactly_once_is_counted(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.frame()
        await talk.mask(0)
        await talk.mask(0)
        await talk.mask(99)
        await talk.answer_all()

    masks, ledger = await segment(small_server(handler).url, [JPEG] * 2)
    assert [mask.seq for mask in masks] == [0]
    assert (ledger.doubled, ledger.unknown, ledger.unanswered) == (1, 1, 1)
    assert not ledger.answered_once


async def test_a_ping_is_answered(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.say(Ping())
        frames = 0
        while not (frames and Pong() in talk.heard):
            frames += isinstance(await talk.hear(), tuple)
        await talk.mask(0)
        await talk.say(End())

    server = small_server(handler)
    await segment(server.url, [JPEG])
    assert Pong() in server.talks[0].heard


async def test_a_broken_source_is_raised_after_the_masks_before_it(obliging: Any) -> None:
    def frames() -> Iterator[bytes]:
        yield JPEG
        yield JPEG
        raise BadFootage("the file ends in the middle")

    seen: list[int] = []

    with pytest.raises(BadFootage, match="in the middle"):
        async with connect(obliging.url) as stream:
            async for mask in stream.segment(frames()):
                seen.append(mask.seq)  # noqa: PERF401 - those before the error count
    assert seen == [0, 1]


async def test_a_fatal_error_is_raised_in_the_servers_words(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.say(Failure("engine_dead", "the engine is gone", 500, fatal=True))
        await talk.socket.close(1011, "engine_dead")

    with pytest.raises(ServerFault, match="the engine is gone") as caught:
        await segment(small_server(handler).url, [JPEG])
    assert caught.value.code == "engine_dead"


async def test_a_server_that_goes_away_delivers_first(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.say(GoingAway(1500, 0))
        await talk.mask(0)
        await talk.socket.close(1012, "going_away")

    seen: list[int] = []

    async def forever() -> AsyncIterator[bytes]:
        yield JPEG
        await asyncio.Event().wait()

    with pytest.raises(GoneAway) as caught:
        async with connect(small_server(handler).url, resume=False) as stream:
            async for mask in stream.segment(forever()):
                seen.append(mask.seq)  # noqa: PERF401 - those before the error count
    assert caught.value.reconnect_after == 1.5
    assert caught.value.taken == 0
    assert seen == [0]


async def test_a_lost_connection(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        talk.socket.transport.abort()

    with pytest.raises(Unreachable, match="was lost"):
        await segment(small_server(handler).url, [JPEG] * 3, resume=False)


@pytest.mark.parametrize(
    "nonsense",
    [
        "hello",
        '{"type":"masks"}',
        b"\x02\0\0\0{}",
        pack({"seq": 0, "encoding": "raw", "width": 2, "height": 2}, b"123"),
        pack({"seq": 0, "encoding": "png", "width": 2, "height": 2}, b"no png"),
    ],
)
async def test_what_is_not_our_protocol_ends_the_stream(
    small_server: Any, nonsense: str | bytes
) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet()
        await talk.frame()
        await talk.socket.send(nonsense)
        await talk.socket.wait_closed()

    with pytest.raises(NotOurs):
        await segment(small_server(handler).url, [JPEG])


async def test_leaving_the_loop_early_frees_everything(obliging: Any) -> None:
    closed = []

    def frames() -> Iterator[bytes]:
        try:
            while True:
                yield JPEG
        finally:
            closed.append(True)

    before = asyncio.all_tasks()
    async with connect(obliging.url) as stream:
        async for _ in stream.segment(frames()):
            break
    async with asyncio.timeout(10):
        while asyncio.all_tasks() != before:  # noqa: ASYNC110  the socket's own end a moment later
            await asyncio.sleep(0.01)
    assert closed == [True]
    assert obliging.ended.wait(10)


async def test_an_error_of_the_callers_own_passes_through(obliging: Any) -> None:
    with pytest.raises(ConnectionRefusedError, match="mine"):
        async with connect(obliging.url) as stream:
            async for _ in stream.segment([JPEG] * 100):
                raise ConnectionRefusedError("mine")


async def test_a_stream_carries_one_sequence(obliging: Any) -> None:
    with pytest.raises(ClientError, match="open another"):
        async with connect(obliging.url) as stream:
            assert len([mask async for mask in stream.segment([JPEG])]) == 1
            async for _ in stream.segment([JPEG]):
                pass


async def test_no_frames_no_masks(obliging: Any) -> None:
    masks, ledger = await segment(obliging.url, [])
    assert masks == []
    assert ledger.answered_once
