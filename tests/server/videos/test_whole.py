"""The work on a whole video: one server at a time, and only for a step still to be taken."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from ledgers import SIGNATURE, TERMS, VIDEO, Server, servers

from server.database.connection import sqlite_url
from server.errors import Fault, Unavailable
from server.videos.keeping import Lost
from server.videos.steps import Step
from server.videos.whole import MAX_DEATHS, Whole

pytestmark = pytest.mark.anyio


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with servers(sqlite_url(tmp_path / "db"), tmp_path / "pieces", SIGNATURE) as (one,):
        yield one


async def always(_: Step) -> bool:
    return True


async def epoch_of_the_next(server: Server) -> tuple[int, int]:
    """Take the whole as another server would; return its epoch, and how many died in it."""
    taken = await server.ledger.take_whole()
    return taken.epoch, taken.deaths


async def test_it_is_held_after_the_block_until_it_is_let_go(server: Server) -> None:
    whole = Whole(server.ledger, always)
    async with whole.taken(Step.PLAN) as taken:
        assert whole.held == server.ledger.held(taken)
    assert whole.held is not None
    with pytest.raises(Lost):
        await server.ledger.take_whole()
    await whole.let_go(taken)
    assert whole.held is None
    assert await epoch_of_the_next(server) == (2, 0)


async def test_a_step_that_another_server_has_taken_meanwhile_is_not_taken_again(
    server: Server,
) -> None:
    """It has seen the step before it got the whole, and the other one had it in between."""
    asked: list[Step] = []

    async def is_next(step: Step) -> bool:
        asked.append(step)
        return False

    whole = Whole(server.ledger, is_next)
    with pytest.raises(Lost):
        async with whole.taken(Step.JOIN):
            raise AssertionError("it joins")
    assert asked == [Step.JOIN] and whole.held is None
    assert await epoch_of_the_next(server) == (2, 0)


@pytest.mark.parametrize("error", [asyncio.CancelledError, Unavailable, Lost])
async def test_an_interruption_lets_go_and_is_no_failure(
    server: Server, error: type[BaseException]
) -> None:
    whole = Whole(server.ledger, always)
    with pytest.raises(error):
        async with whole.taken(Step.JOIN):
            raise error("interrupted")
    assert whole.held is None and not server.ledger.rests
    assert await epoch_of_the_next(server) == (2, 0)


async def test_a_fault_leaves_the_step_to_others_until_it_has_failed_too_often(
    server: Server,
) -> None:
    whole = Whole(server.ledger, always)
    for expected in (Lost, Lost, Fault):
        server.ledger.rests = False
        with pytest.raises(expected):
            async with whole.taken(Step.PLAN):
                raise Fault("The disk failed: replace it.")
        assert server.ledger.rests is (expected is Lost)
        assert (whole.held is None) is (expected is Lost), "who holds it ends the video"
    assert not server.became, "the whole is no piece"


async def test_what_fails_since_the_video_was_removed_is_no_failure(server: Server) -> None:
    whole = Whole(server.ledger, always)
    with pytest.raises(Lost):
        async with whole.taken(Step.JOIN):
            server.store.cancel(VIDEO, 1.0)
            raise Fault("The results could not be written: No such file or directory.")
    assert whole.held is None and not server.ledger.rests


async def test_what_servers_died_in_is_given_up_at_once(server: Server) -> None:
    for _ in range(MAX_DEATHS):
        await server.ledger.take_whole()
        server.ages(TERMS.lease + 1)
    whole = Whole(server.ledger, always)
    with pytest.raises(Fault, match="died 3 times"):
        async with whole.taken(Step.PLAN):
            raise AssertionError("it plans")
    assert whole.held is not None


async def test_who_lost_it_in_the_block_ends_with_lost(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(server.ledger, "terms", TERMS._replace(renew=0.001))
    whole = Whole(server.ledger, always)
    with pytest.raises(Lost):
        async with whole.taken(Step.PLAN), asyncio.timeout(30):
            server.ages(TERMS.lease + 1)
            assert server.rows.take_whole(VIDEO, "another", 1000.0) is not None
            await asyncio.Event().wait()
    assert whole.held is None
