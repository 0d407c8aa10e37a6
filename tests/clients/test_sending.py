"""Sending in order: at most a window, and the missing frames first after a lost connection."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any, cast

import pytest

from clients.python.backlog import Backlog
from clients.python.connection import Connection
from clients.python.ledger import Ledger
from clients.python.pictures import Frame, Pictures
from clients.python.sending import Sending
from protocol import End, unpack_frame

pytestmark = pytest.mark.anyio


class Line:
    """A connection that keeps the seqs that it was given, or "end"; it may break."""

    def __init__(self, window: int = 2) -> None:
        self.ready = SimpleNamespace(window=window)
        self.sent: list[int | str] = []
        self.is_broken = False

    async def send_frame(self, message: bytes) -> bool:
        if not self.is_broken:
            header, _ = unpack_frame(message, len(message))
            assert header.seq is not None
            self.sent.append(header.seq)
        return not self.is_broken

    async def send(self, message: Any) -> None:
        assert isinstance(message, End)
        self.sent.append("end")


class Stage:
    def __init__(self, pictures: int) -> None:
        self.line, self.ledger, self.backlog = Line(), Ledger(), Backlog(2)
        self.sending = Sending(cast("Connection", self.line), self.ledger, self.backlog, True)
        frames = [Frame(b"picture") for _ in range(pictures)]
        self.running = asyncio.create_task(
            self.sending.run(Pictures(frames, lambda picture: cast("bytes", picture)))
        )

    def answer(self, seq: int) -> None:
        self.ledger.mask(seq)
        self.backlog.mask(seq, seq == 0)
        self.sending.answered()

    async def until(self, line: Line, sent: list[int | str]) -> None:
        async with asyncio.timeout(10):
            while line.sent != sent:  # noqa: ASYNC110  a list does not notify
                await asyncio.sleep(0.001)


async def test_no_more_than_a_window_is_unanswered_and_the_end_is_sent() -> None:
    stage = Stage(pictures=3)
    await stage.until(stage.line, [0, 1])
    stage.answer(0)
    await stage.until(stage.line, [0, 1, 2])
    assert not stage.sending.has_ended
    stage.answer(1)
    await stage.running
    assert stage.line.sent == [0, 1, 2, "end"] and stage.sending.has_ended


@pytest.mark.parametrize(("rebuilds", "again"), [(False, [2, 3]), (True, [0, 1, 2, 3])])
async def test_what_is_missing_is_sent_before_all_others(rebuilds: bool, again: list[int]) -> None:
    stage = Stage(pictures=5)
    for seq in range(2):
        await stage.until(stage.line, [*range(seq + 2)])
        stage.answer(seq)
    await stage.until(stage.line, [0, 1, 2, 3])
    await stage.sending.pause()
    line = Line(window=3)
    stage.sending.resume(cast("Connection", line), rebuilds)
    await stage.until(line, [*again, 4])
    stage.answer(2)
    await stage.running
    await stage.sending.stop()
    assert line.sent == [*again, 4, "end"]
