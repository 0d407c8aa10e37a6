"""A stream whose connection is lost: the frames that the client sends on the next one."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from clients.python import (
    Backoff,
    ClientError,
    Frame,
    Lost,
    Resumed,
    TakenOver,
    Unreachable,
    connect,
)
from protocol import DropCause, Dropped, Failure, GoingAway, MaskMemory, MemoryState

pytestmark = pytest.mark.anyio

JPEG = b"\xff\xd8\xff a picture"
QUICK = Backoff(first=0.01, longest=0.05, give_up=20.0)
NEW = MaskMemory(0, "new")


async def segment(url: str, frames: Any, **options: Any) -> tuple[list[int], list[Any]]:
    """The seqs of all masks, and the events."""
    events: list[Any] = []
    options = {"policy": "every", "resume": QUICK, "on_event": events.append} | options
    async with connect(url, **options) as stream:
        seqs = [mask.seq async for mask in stream.segment(frames)]
        assert stream.ledger.answered_once
    return seqs, events


async def seen(talk: Any) -> list[tuple[int, bool, bool]]:
    """All frames to the end, each answered unless it is a replay: (seq, reset, replay)."""
    found = []
    while (frame := await talk.frame()) is not None:
        header, _ = frame
        found.append((header.seq, header.reset, header.replay))
        if not header.replay:
            await talk.mask(header.seq)
    return found


async def test_an_intact_session_gets_the_unanswered_frames_again(small_server: Any) -> None:
    again: list[Any] = []

    async def handler(talk: Any) -> None:
        if len(server.talks) == 1:
            await talk.greet(resume="token")
            for _ in range(4):
                await talk.frame()
            await talk.mask(0, memory=NEW)
            await talk.mask(1)
            talk.socket.transport.abort()
        else:
            opened = await talk.greet(resume="token", memory=MemoryState.INTACT)
            again.append(opened.resume)
            again.extend(await seen(talk))
            await talk.end()

    server = small_server(handler)
    seqs, events = await segment(server.url, [JPEG] * 6)
    assert seqs == list(range(6))
    assert again[0] == "token"
    assert again[1:] == [(seq, False, False) for seq in range(2, 6)]
    lost, resumed = events
    assert isinstance(lost, Lost) and isinstance(lost.error, Unreachable) and lost.attempt == 1
    assert isinstance(resumed, Resumed) and resumed.memory is MemoryState.INTACT
    assert resumed.after > 0


@pytest.mark.parametrize(
    ("horizon", "memory", "replayed"),
    [(2, "rebuilt", [1, 2]), (0, "rebuilt", []), (None, "cold", [])],
)
async def test_a_cold_session_gets_a_replay_first(
    small_server: Any, horizon: int | None, memory: str, replayed: list[int]
) -> None:
    again: list[Any] = []

    async def handler(talk: Any) -> None:
        if len(server.talks) == 1:
            await talk.greet(resume="token", horizon=horizon)
            for _ in range(4):
                await talk.frame()
            await talk.mask(0, memory=NEW)
            await talk.mask(1)
            await talk.mask(2)
            talk.socket.transport.abort()
        else:
            await talk.greet(resume="other", memory=MemoryState.COLD, horizon=horizon)
            again.extend(await seen(talk))
            await talk.end()

    server = small_server(handler)
    seqs, events = await segment(server.url, [JPEG] * 5)
    assert seqs == list(range(5))
    replays = [(seq, False, True) for seq in replayed]
    assert again == [*replays, (3, False, False), (4, False, False)]
    assert events[-1].memory == memory


async def test_a_replay_that_no_mask_has_confirmed_is_repeated_without_the_token(
    small_server: Any,
) -> None:
    tokens: list[str | None] = []
    again: list[Any] = []

    async def handler(talk: Any) -> None:
        if len(server.talks) == 1:
            tokens.append((await talk.greet(resume="first")).resume)
            for _ in range(2):
                await talk.frame()
            await talk.mask(0, memory=NEW)
            talk.socket.transport.abort()
        elif len(server.talks) == 2:
            tokens.append((await talk.greet(resume="second", memory=MemoryState.COLD)).resume)
            await talk.frame()
            talk.socket.transport.abort()
        else:
            tokens.append((await talk.greet(resume="third")).resume)
            again.extend(await seen(talk))
            await talk.end()

    server = small_server(handler)
    seqs, events = await segment(server.url, [JPEG] * 2)
    assert seqs == [0, 1]
    assert tokens == [None, "first", None]
    assert again == [(0, False, True), (1, False, False)]
    assert [e.memory for e in events if isinstance(e, Resumed)] == [MemoryState.REBUILT] * 2


async def test_a_reset_of_a_dropped_frame_survives(small_server: Any) -> None:
    again: list[Any] = []

    async def handler(talk: Any) -> None:
        if len(server.talks) == 1:
            await talk.greet(resume="token")
            for _ in range(3):
                await talk.frame()
            await talk.mask(0, memory=NEW)
            await talk.say(Dropped((1,), DropCause.UNDECODABLE))
            talk.socket.transport.abort()
        else:
            await talk.greet(memory=MemoryState.COLD)
            again.extend(await seen(talk))
            await talk.end()

    server = small_server(handler)
    await segment(server.url, [JPEG, Frame(JPEG, reset=True), JPEG])
    assert again == [(0, False, True), (2, True, False)]


async def test_a_server_that_goes_away_is_awaited(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(memory=MemoryState.NEW if len(server.talks) == 1 else MemoryState.COLD)
        if len(server.talks) == 1:
            await talk.frame()
            await talk.mask(0, memory=NEW)
            await talk.say(GoingAway(20))
            await talk.socket.close(1012, "going_away")
        else:
            await seen(talk)
            await talk.end()

    server = small_server(handler)
    seqs, (lost, resumed) = await segment(server.url, [JPEG] * 3)
    assert seqs == [0, 1, 2]
    assert 0.02 <= lost.retry_in < 0.06
    assert resumed.memory is MemoryState.REBUILT


async def test_a_server_that_is_full_or_still_loading_is_asked_again(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        if len(server.talks) == 1:
            await talk.greet(resume="token")
            await talk.frame()
            talk.socket.transport.abort()
        elif len(server.talks) < 4:
            await talk.say(Failure("no_capacity", "It loads.", 503, fatal=True))
            await talk.socket.close(4503, "no_capacity")
        else:
            await talk.greet(memory=MemoryState.COLD)
            await seen(talk)
            await talk.end()

    server = small_server(handler)
    seqs, events = await segment(server.url, [JPEG] * 3)
    assert seqs == [0, 1, 2]
    assert [event.attempt for event in events[:-1]] == [1, 2, 3]


async def test_it_gives_up_in_the_end(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(resume="token")
        await talk.frame()
        talk.socket.transport.abort()

    hasty = Backoff(first=0.01, longest=0.05, give_up=0.3)
    with pytest.raises(Unreachable, match="was lost"):
        await segment(small_server(handler).url, [JPEG] * 3, resume=hasty)


async def test_a_session_that_was_taken_over_is_not_taken_back(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(resume="token")
        await talk.frame()
        await talk.say(Failure("taken_over", "A newer connection has it.", 409, fatal=True))
        await talk.socket.close(4409, "taken_over")

    server = small_server(handler)
    with pytest.raises(TakenOver, match="newer connection"):
        await segment(server.url, [JPEG] * 3)
    assert len(server.talks) == 1


async def test_another_model_is_an_error(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(resume="token", fingerprint=str(len(server.talks)))
        await talk.frame()
        talk.socket.transport.abort()

    server = small_server(handler)
    with pytest.raises(ClientError, match="not the same as before"):
        await segment(server.url, [JPEG] * 3)


async def test_a_lost_farewell_is_not_missed(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(resume="token")
        await seen(talk)
        talk.socket.transport.abort()

    server = small_server(handler)
    assert await segment(server.url, [JPEG] * 3) == ([0, 1, 2], [])
    assert len(server.talks) == 1


async def test_no_picture_is_asked_for_while_there_is_no_connection(small_server: Any) -> None:
    asked = 0

    async def frames() -> AsyncIterator[bytes]:
        nonlocal asked
        for _ in range(50):
            asked += 1
            yield JPEG

    async def handler(talk: Any) -> None:
        if len(server.talks) == 1:
            await talk.greet(resume="token", window=8)
            await talk.frame()
            await talk.mask(0, memory=NEW)
            await asyncio.sleep(0.05)
            talk.socket.transport.abort()
        else:
            before.append(asked)
            await talk.greet(resume="token", memory=MemoryState.INTACT, window=8)
            await seen(talk)
            await talk.end()

    before: list[int] = []
    server = small_server(handler)
    seqs, _ = await segment(server.url, frames())
    assert seqs == list(range(50))
    assert before[0] <= 10


async def test_leaving_while_it_reconnects_frees_everything(small_server: Any) -> None:
    async def handler(talk: Any) -> None:
        await talk.greet(resume="token")
        await talk.frame()
        talk.socket.transport.abort()

    tasks = asyncio.all_tasks()
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.2):
            await segment(small_server(handler).url, [JPEG] * 3, resume=Backoff(30.0, 30.0))
    assert asyncio.all_tasks() == tasks
