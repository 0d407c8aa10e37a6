"""Turns of requests that write one upload."""

from __future__ import annotations

import asyncio

import pytest

from server.errors import Draining, TakenOver
from server.videos.upload_turns import UploadTurns

pytestmark = pytest.mark.anyio


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def write(turns: UploadTurns, ended: list[str], name: str) -> None:
    async with turns.take("u") as turn:
        ended.append(f"{name}: {(await turn.stopped()).code}")


async def test_the_newest_request_gets_the_upload_and_those_before_it_end() -> None:
    turns, ended = UploadTurns(), list[str]()
    tasks = []
    for name in "abc":
        tasks.append(asyncio.create_task(write(turns, ended, name)))
        await settle()
    assert ended == ["a: taken_over", "b: taken_over"]
    tasks[2].cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert repr(turns) == "<UploadTurns {}>"


async def test_requests_for_different_uploads_do_not_disturb_each_other() -> None:
    turns = UploadTurns()
    async with turns.take("a") as one, turns.take("b") as other:
        assert one.reason is None and other.reason is None


async def test_a_request_that_leaves_before_its_turn_disturbs_nobody() -> None:
    turns = UploadTurns()
    async with turns.take("u"):
        waiting = asyncio.create_task(turns.take("u").__aenter__())
        await settle()
        waiting.cancel()
        await settle()
    async with turns.take("u") as turn:
        assert turn.reason is None


async def test_draining_ends_the_turns_that_last_and_those_to_come() -> None:
    turns = UploadTurns()
    async with turns.take("u") as turn:
        turns.drain()
        assert isinstance(await turn.stopped(), Draining)
    async with turns.take("v") as turn:
        assert isinstance(turn.reason, Draining)
    assert not isinstance(turn.reason, TakenOver)
