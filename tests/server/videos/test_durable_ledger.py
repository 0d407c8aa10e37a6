"""Whose piece is whose: two servers with a connection each on one database, of either kind."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Callable
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest
from ledgers import PIECES_OF_TEN, SIGNATURE, TERMS, VIDEO, Server, servers

from server.database.piece_statements import Held
from server.database.pieces import PieceRows
from server.database.video_record import VideoState
from server.errors import Unavailable
from server.frame import Losses
from server.sources.cuts import KeyFrame, Uncut
from server.videos import durable_ledger
from server.videos.keeping import Lost
from server.videos.ledger import Finished
from server.videos.pieces import in_one_piece
from server.videos.steps import Step, step_of

pytestmark = pytest.mark.anyio

Two = tuple[Server, Server]


@pytest.fixture
async def two(database_url: str, tmp_path: Path) -> AsyncIterator[Two]:
    """Servers with the same model; ``a`` has planned the video, and both follow the plan."""
    async with servers(database_url, tmp_path / "pieces", SIGNATURE, SIGNATURE) as (a, b):
        await a.plan()
        await b.ledger.follow()
        yield a, b


@pytest.fixture
async def unlike(database_url: str, tmp_path: Path) -> AsyncIterator[Two]:
    """Servers with different models; ``a`` has planned the video."""
    async with servers(database_url, tmp_path / "pieces", SIGNATURE, "another model") as (a, b):
        await a.plan()
        yield a, b


def attempts(server: Server) -> set[str]:
    return {path.name for path in server.folder.glob("*")}


# Taking


async def test_each_piece_is_taken_once_and_none_is_left(two: Two) -> None:
    a, b = two
    taken = await asyncio.gather(*(one.ledger.take() for one in (a, b) * 4))
    found = Counter(one.piece.number for one in taken if one is not None)
    assert found == Counter(range(4)) and taken.count(None) == 4
    assert set(a.holders().values()) <= {"a", "b"}
    assert not await a.ledger.any_free() and not await b.ledger.any_free()


async def test_who_reads_on_gets_the_next_piece_and_others_begin_far_away(two: Two) -> None:
    a, b = two
    assert (await a.takes()).piece == PIECES_OF_TEN.pieces[0]
    assert (await b.takes()).piece.number == 2, "the middle of what is free"
    assert (await a.takes(after=0)).piece.number == 1
    assert (await b.takes(after=2)).piece.number == 3


async def test_a_piece_given_back_is_taken_at_once_and_counts_as_no_death(two: Two) -> None:
    a, b = two
    first = await a.takes()
    await a.ledger.release(first)
    again = await b.takes()
    assert (again.piece, again.epoch, again.deaths) == (first.piece, 2, 0)
    assert not b.taken_over


async def test_of_a_video_that_has_ended_nothing_is_taken(two: Two) -> None:
    a, b = two
    taken, whole = await a.takes(), await b.ledger.take_whole()
    assert a.store.cancel(VIDEO, 1.0)
    assert await a.ledger.take() is None and not await a.ledger.any_free()
    assert await a.ledger.follow() == []
    assert not await a.ledger.renew(taken, 3)
    assert not await a.ledger.finish(taken, 10, Losses())
    assert await a.ledger.fail(taken) == 0
    await a.ledger.release(taken)
    with pytest.raises(Lost):
        await b.ledger.plan(b.ledger.held(whole), PIECES_OF_TEN, [()] * 4)
    with pytest.raises(Lost):
        await a.ledger.take_whole()
    assert a.became == Counter(lost=3)


# Leases


async def test_a_piece_is_kept_as_long_as_it_is_renewed(two: Two) -> None:
    a, b = two
    taken = await a.takes()
    for frames in (2, 4):
        a.ages(TERMS.lease - 1)
        assert await a.ledger.renew(taken, frames)
        record = b.store.get(VIDEO)
        assert record is not None and record.frames_done == frames
    assert {(await b.takes()).piece.number for _ in range(3)} == {1, 2, 3}


async def test_a_server_that_comes_back_after_its_lease_changes_nothing(two: Two) -> None:
    a, b = two
    late = await a.takes()
    a.ages(TERMS.lease + 1)
    taken = await b.takes()
    assert (taken.piece, taken.epoch) == (late.piece, 2)
    assert not await a.ledger.renew(late, 9)
    assert not await a.ledger.finish(late, 10, Losses())
    assert await a.ledger.fail(late) == 0
    await a.ledger.release(late)
    assert await b.ledger.renew(taken, 3), "it is still b's"
    assert (a.became, b.became) == (Counter(lost=3), Counter())
    assert b.taken_over == Counter(expired=1)
    assert attempts(b) == {taken.folder}, "those of the earlier attempt are gone"


async def test_leases_are_the_databases_whatever_a_servers_clock_says(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    for far in (1e10, 0.0):
        monkeypatch.setattr("time.time", lambda far=far: far)
        taken = await a.takes()
        assert taken.piece.number not in {(await b.takes()).piece.number}
        assert await a.ledger.renew(taken, 1)
    assert sorted(map(str, a.holders().values())) == ["a", "a", "b", "b"]


async def test_a_server_that_restarts_takes_its_pieces_back(two: Two) -> None:
    a, b = two
    taken = await a.takes()
    b_has = await b.takes()
    a.rows.free("a")
    again = await a.takes()
    assert (again.piece, again.epoch, again.deaths) == (taken.piece, 2, 1)
    assert a.taken_over == Counter(restart=1)
    assert await b.ledger.renew(b_has, 1), "those of others are left alone"


# Ends of a piece


async def test_what_is_done_is_the_same_for_all(two: Two) -> None:
    a, b = two
    first, second = await a.takes(), await b.takes()
    assert await b.ledger.finish(second, 10, Losses(damaged=2))
    assert await a.ledger.finish(first, 9, Losses())
    done = [
        Finished(0, first.folder, 9, Losses()),
        Finished(2, second.folder, 10, Losses(damaged=2)),
    ]
    assert await a.ledger.finished() == await b.ledger.finished() == done
    assert (a.became, b.became) == (Counter(done=1), Counter(done=1))
    record = a.store.get(VIDEO)
    assert record is not None and (record.frames_done, record.progressed) == (19, 7.0)


async def test_a_piece_whose_files_were_removed_meanwhile_is_lost_and_no_fault(two: Two) -> None:
    a, b = two
    late = await a.takes()
    a.ages(TERMS.lease + 1)
    await b.takes()
    assert not (a.folder / late.folder).exists()
    assert not await a.ledger.finish(late, 10, Losses())


async def test_failures_of_a_piece_add_up_over_servers(two: Two) -> None:
    a, b = two
    counts = []
    for server in (a, b, a):
        taken = await server.takes()
        counts.append(await server.ledger.fail(taken))
        await server.ledger.release(taken)
    assert counts == [1, 2, 3] and a.ledger.max_failures == 3
    assert a.became + b.became == Counter(failed=3)


async def test_a_server_in_which_a_piece_has_failed_leaves_the_rest_to_others(two: Two) -> None:
    a, b = two
    a.ledger.rest()
    assert a.ledger.rests
    assert await a.ledger.take() is None and not await a.ledger.any_free()
    assert {(await b.takes()).piece.number for _ in range(4)} == set(range(4))


async def test_a_server_on_its_own_tries_again(database_url: str, tmp_path: Path) -> None:
    alone = TERMS._replace(rest=0.0)
    async with servers(database_url, tmp_path, SIGNATURE, terms=alone) as (a,):
        await a.plan()
        a.ledger.rest()
        assert not a.ledger.rests and await a.ledger.take() is not None


async def test_deaths_in_one_place_add_up_over_servers(two: Two) -> None:
    """A piece that kills whoever segments it ends its video; other deaths are chance."""
    a, b = two
    deaths = []
    for number, (server, frames) in enumerate([(a, 5), (b, 6), (a, 4), (b, 100), (a, 101)]):
        taken = await server.takes()
        assert (taken.piece.number, taken.epoch) == (0, number + 1)
        server.writes(taken, frames)
        deaths.append(taken.deaths)
        server.ages(TERMS.lease + 1)
    assert deaths == [0, 1, 2, 3, 1]
    assert (await b.takes()).deaths == 2


async def test_a_piece_that_ends_its_video_stays_taken(two: Two) -> None:
    a, b = two
    taken = await a.takes()
    a.ledger.give_up(taken)
    assert a.ledger.ends_by == Held(VIDEO, 0, 1)
    assert {(await b.takes()).piece.number for _ in range(3)} == {1, 2, 3}
    assert a.store.finish(a.ledger.ends_by, VideoState.FAILED, 2.0, 3)
    assert await b.ledger.take() is None


# Planning


async def test_one_server_plans_and_the_others_wait(database_url: str, tmp_path: Path) -> None:
    keys = [KeyFrame(10, 100, None, Fraction(1))]
    async with servers(database_url, tmp_path, SIGNATURE, SIGNATURE) as (a, b):
        whole = await a.ledger.take_whole()
        with pytest.raises(Lost):
            await b.ledger.take_whole()
        await a.ledger.plan(a.ledger.held(whole), PIECES_OF_TEN, [(), keys, (), ()])
        await a.ledger.release(whole)
        rows = await b.ledger.follow()
        assert [(row.first, row.last) for row in rows] == [(0, 9), (10, 19), (20, 29), (30, 39)]
        assert [row.keys for row in rows] == [[], [[10, 100, None, "1"]], [], []]
        assert (await b.takes()).piece.number == 0
        assert not a.became and not b.became, "the whole is no piece"


async def test_who_was_too_slow_to_plan_replaces_no_plan(database_url: str, tmp_path: Path) -> None:
    async with servers(database_url, tmp_path, SIGNATURE, SIGNATURE) as (a, b):
        late = await a.ledger.take_whole()
        a.ages(TERMS.lease + 1)
        await b.plan()
        with pytest.raises(Lost):
            await a.ledger.plan(a.ledger.held(late), in_one_piece(Uncut.DAMAGED))
        assert len(await a.ledger.follow()) == 4


async def test_a_plan_is_not_replaced_while_a_piece_is_held(two: Two) -> None:
    a, b = two
    taken, whole = await a.takes(), await b.ledger.take_whole()
    with pytest.raises(Lost):
        await b.ledger.plan(b.ledger.held(whole), in_one_piece(Uncut.DAMAGED))
    await a.finishes(taken)
    await b.ledger.plan(b.ledger.held(whole), in_one_piece(Uncut.DAMAGED))
    assert len(await b.ledger.follow()) == 1


async def test_a_piece_that_must_not_be_cut_replaces_all_others_and_their_files(two: Two) -> None:
    a, b = two
    done, running, found = await a.takes(), await a.takes(), await b.takes()
    await a.finishes(done)
    assert len(attempts(a)) == 3
    await b.ledger.plan(b.ledger.held(found), in_one_piece(Uncut.DAMAGED))
    assert attempts(b) == set()
    assert not await a.ledger.renew(running, 4)
    assert not await a.ledger.finish(running, 10, Losses())
    (row,) = await b.ledger.follow()
    whole = await b.takes()
    assert (row.first, row.last, whole.piece.last) == (0, None, None)
    assert whole.epoch > max(done.epoch, running.epoch, found.epoch)
    assert attempts(b) == {whole.folder}


async def test_who_follows_another_plan_takes_nothing_of_it(two: Two) -> None:
    """It would be read with what is known of the other one's key frames."""
    a, b = two
    await a.plan(in_one_piece(Uncut.DAMAGED))
    async with asyncio.timeout(30):
        assert await b.ledger.take() is None
    assert not await b.ledger.any_free()
    assert await b.ledger.finished() == []
    (row,) = await b.ledger.follow()
    assert row.last is None and (await b.takes()).piece.last is None


async def test_a_plan_that_is_replaced_while_a_piece_is_taken_is_noticed(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    real, replaced = PieceRows.take, asyncio.Event()
    loop = asyncio.get_running_loop()

    def take(rows: PieceRows, *given: Any) -> Any:
        if rows is b.rows and not replaced.is_set():
            asyncio.run_coroutine_threadsafe(a.plan(in_one_piece(Uncut.DAMAGED)), loop).result(30)
            loop.call_soon_threadsafe(replaced.set)
        return real(rows, *given)

    monkeypatch.setattr(PieceRows, "take", take)
    assert await b.ledger.take() is None
    assert replaced.is_set()
    assert (await a.takes()).deaths == 0, "it was given back"


# Servers that differ


async def test_no_piece_of_another_models_plan_is_taken(unlike: Two) -> None:
    a, b = unlike
    assert await b.ledger.follow() == []
    async with asyncio.timeout(30):
        assert await b.ledger.take() is None
    assert not await b.ledger.any_free() and await b.ledger.finished() == []
    assert b.rows.take(VIDEO, 0, "b", 10.0, "another model") is None
    assert (await a.takes()).epoch == 1


async def test_another_models_plan_is_replaced_once_nobody_follows_it(unlike: Two) -> None:
    """Neither while its server works, nor between two of its pieces, nor at once after its end."""
    a, b = unlike

    def step() -> Step | None:
        return step_of(b.standing(), "another model", TERMS.patience)

    assert step() is None, "it was planned just now"
    b.ages(TERMS.patience + 1)
    assert step() is Step.PLAN
    taken = await a.takes()
    assert step() is None
    await a.finishes(taken)
    assert step() is None
    await a.takes()
    a.ages(TERMS.lease + 1)
    assert step() is None
    a.ages(TERMS.patience + 1)
    assert step() is Step.PLAN
    await b.plan(in_one_piece(Uncut.NO_HORIZON))
    assert attempts(b) == set(), "what the other model made is of no use"
    assert (await b.takes()).piece.last is None
    assert await a.ledger.take() is None


# A database that fails


@pytest.mark.parametrize("name", ["all", "take", "take_whole", "plan", "renew", "finish", "fail"])
async def test_a_database_that_fails_is_asked_again(
    database_url: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setattr(durable_ledger, "RETRY_SECONDS", 0.0)
    real: Callable[..., Any] = getattr(PieceRows, name)
    failures: list[str] = []

    def fail_before(*given: Any) -> Any:
        if len(failures) < 2:
            failures.append(name)
            raise Unavailable("The database does not answer: try again in a moment.")
        return real(*given)

    monkeypatch.setattr(PieceRows, name, fail_before)
    async with servers(database_url, tmp_path, SIGNATURE) as (a,):
        await a.plan()
        taken = await a.takes()
        assert await a.ledger.renew(taken, 1)
        assert await a.ledger.fail(taken) == 1
        await a.finishes(taken)
        assert [one.number for one in await a.ledger.finished()] == [0]
    assert failures == [name] * 2


async def test_a_piece_that_a_failing_database_gave_unnoticed_is_left_to_its_lease(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    monkeypatch.setattr(durable_ledger, "RETRY_SECONDS", 0.0)
    real, failed = PieceRows.take, list[int]()

    def fail_after(rows: PieceRows, *given: Any) -> Any:
        row = real(rows, *given)
        if not failed:
            failed.append(row.number)
            raise Unavailable("The database does not answer: try again in a moment.")
        return row

    monkeypatch.setattr(PieceRows, "take", fail_after)
    taken = await a.takes()
    assert failed == [0] and taken.piece.number != 0
    assert 0 not in {(await b.takes()).piece.number for _ in range(2)}
    assert await b.ledger.take() is None
    b.ages(TERMS.lease + 1)
    assert (await b.takes()).piece.number == 0


async def test_a_release_that_fails_is_left_to_the_lease(
    two: Two, monkeypatch: pytest.MonkeyPatch
) -> None:
    a, b = two
    taken = await a.takes()

    def fail(*_: Any) -> bool:
        raise Unavailable("The database does not answer: try again in a moment.")

    with monkeypatch.context() as patch:
        patch.setattr(PieceRows, "release", fail)
        await a.ledger.release(taken)
    assert 0 not in {(await b.takes()).piece.number for _ in range(3)}
    assert await b.ledger.take() is None
