"""The rows of pieces: one owner at a time, and no write by an owner that was believed dead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from fractions import Fraction
from typing import Any

import pytest
from own_rows import OwnRows
from row_locks import until_one_waits

from server.database.piece_statements import WHOLE, Held, PieceState
from server.database.piece_statements import held as held_row
from server.database.pieces import PieceRow, PieceRows
from server.database.video_record import VideoRecord, VideoState
from server.frame import Losses, VideoInfo

INFO = VideoInfo(64, 48, 30, 1.2, Fraction(25), Fraction(1, 1000))
VIDEO = "v"
KEYS = [[0, 0, None, "1/25"]]
PLANNED_FOR = "signature"
LONG = 1000.0
OVER = -1.0
"""A lease that has ended already."""


@pytest.fixture
def store(database_url: str) -> Iterator[OwnRows]:
    rows = OwnRows(database_url)
    rows.add(VideoRecord(VIDEO, "clip", "fake", 6, INFO, ("masks.mkv",), "f"), 9)
    yield rows
    rows.close()


@pytest.fixture
def pieces(store: OwnRows) -> PieceRows:
    pieces = PieceRows(store.database)
    assert pieces.plan(
        whole(store), [(0, 9, KEYS), (10, 19, []), (20, None, [])], None, PLANNED_FOR
    )
    pieces.free("me")
    return pieces


def whole(store: OwnRows) -> Held:
    """The work on the whole video, as one server takes it."""
    return store.begun(VIDEO, 1.0)


def taken(pieces: PieceRows, number: int, lease: float = LONG, owner: str = "me") -> PieceRow:
    row = pieces.take(VIDEO, number, owner, lease, PLANNED_FOR)
    assert row is not None
    return row


def stored(pieces: PieceRows) -> list[PieceRow]:
    return pieces.all(VIDEO, PLANNED_FOR)


def held(row: PieceRow) -> Held:
    return Held(row.video, row.number, row.epoch)


def test_a_plan_is_stored_with_its_video(store: OwnRows, pieces: PieceRows) -> None:
    rows = stored(pieces)
    assert [(row.number, row.first, row.last, row.keys) for row in rows] == [
        (0, 0, 9, KEYS), (1, 10, 19, []), (2, 20, None, []),
    ]  # fmt: skip
    assert all(row.free and row.state is PieceState.WAITING for row in rows)
    record = store.get(VIDEO)
    assert record is not None
    assert (record.pieces, record.uncut, record.planned_for) == (3, None, PLANNED_FOR)


def test_a_piece_that_is_taken_is_not_free(pieces: PieceRows) -> None:
    row = taken(pieces, 1)
    assert (row.epoch, row.deaths, row.state) == (1, 1, PieceState.RUNNING)
    assert pieces.take(VIDEO, 1, "other", LONG, PLANNED_FOR) is None
    assert [row.free for row in stored(pieces)] == [True, False, True]
    assert pieces.take(VIDEO, 7, "me", LONG, PLANNED_FOR) is None


def test_a_piece_of_another_models_plan_is_neither_seen_nor_taken(pieces: PieceRows) -> None:
    assert pieces.all(VIDEO, "another") == [] and pieces.all("unknown", PLANNED_FOR) == []
    assert pieces.take(VIDEO, 0, "me", LONG, "another") is None
    assert pieces.take_whole(VIDEO, "me", LONG) is not None


def test_of_many_that_take_a_piece_one_gets_it(pieces: PieceRows) -> None:
    def take(number: int) -> PieceRow | None:
        return pieces.take(VIDEO, 0, str(number), LONG, PLANNED_FOR)

    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(take, range(8)))
    assert len([row for row in found if row is not None]) == 1


def test_a_lease_that_ended_frees_a_piece_and_its_holder_changes_nothing(
    pieces: PieceRows,
) -> None:
    late = held(taken(pieces, 0, OVER))
    assert stored(pieces)[0].free
    row = taken(pieces, 0, owner="other")
    assert (row.epoch, row.deaths) == (2, 2)
    assert not pieces.renew(late, LONG)
    assert not pieces.finish(late, 10, Losses(), 1.0)
    assert not pieces.release(late)
    assert not pieces.fail(late)
    assert not pieces.died(late, 5, 8)
    assert not pieces.plan(late, [(0, None, [])], None, PLANNED_FOR)
    for _ in range(2):
        assert pieces.finish(held(row), 10, Losses(), 1.0), "who got no answer finishes it again"


def test_a_lease_that_is_renewed_continues(pieces: PieceRows) -> None:
    row = held(taken(pieces, 0, OVER))
    assert pieces.renew(row, LONG)
    assert pieces.take(VIDEO, 0, "other", LONG, PLANNED_FOR) is None


def test_frames_count_for_the_video_as_soon_as_they_are_reported(
    store: OwnRows, pieces: PieceRows
) -> None:
    def frames() -> int:
        record = store.get(VIDEO)
        assert record is not None
        return record.frames_done

    first, second = held(taken(pieces, 0)), held(taken(pieces, 1))
    assert pieces.renew(first, LONG, 4) and pieces.renew(second, LONG, 3)
    assert frames() == 7
    pieces.finish(first, 10, Losses(), 1.0)
    assert frames() == 13
    pieces.release(second)
    taken(pieces, 1)
    assert frames() == 10


def test_failures_add_up_and_a_piece_that_failed_stays_held(pieces: PieceRows) -> None:
    first = held(taken(pieces, 0))
    assert pieces.fail(first) == 1
    assert pieces.take(VIDEO, 0, "other", LONG, PLANNED_FOR) is None
    pieces.release(first)
    assert pieces.fail(held(taken(pieces, 0, owner="other"))) == 2


def test_the_work_on_the_whole_is_no_piece(pieces: PieceRows) -> None:
    row = pieces.take_whole(VIDEO, "me", LONG)
    assert row is not None and row.number == WHOLE
    assert pieces.take_whole(VIDEO, "other", LONG) is None
    assert pieces.renew(held(row), LONG)
    assert [row.number for row in stored(pieces)] == [0, 1, 2]
    assert pieces.release(held(row))


def test_a_finished_piece_counts_for_its_video(store: OwnRows, pieces: PieceRows) -> None:
    pieces.finish(held(taken(pieces, 0)), 10, Losses(), 1.5)
    pieces.finish(held(taken(pieces, 2)), 12, Losses(damaged=1), 2.5)
    record = store.get(VIDEO)
    assert record is not None
    assert (record.frames_done, record.progressed) == (22, 2.5)
    done = [row for row in stored(pieces) if row.state is PieceState.DONE]
    assert [(row.frames, row.losses) for row in done] == [(10, Losses()), (12, Losses(damaged=1))]
    assert not any(row.free for row in done)


def test_a_piece_given_back_is_no_death(pieces: PieceRows) -> None:
    assert pieces.release(held(taken(pieces, 0)))
    row = taken(pieces, 0)
    assert (row.epoch, row.deaths) == (2, 1)


def test_an_owner_is_reported_how_many_pieces_it_has(pieces: PieceRows) -> None:
    pieces.take_whole(VIDEO, "me", LONG)
    done = held(taken(pieces, 0))
    taken(pieces, 1)
    taken(pieces, 2, OVER)
    assert (pieces.count_held("me"), pieces.count_held("other")) == (2, 0)
    pieces.finish(done, 10, Losses(), 1.0)
    assert pieces.count_held("me") == 1


def test_deaths_in_the_same_place_add_up_and_others_begin_anew(pieces: PieceRows) -> None:
    taken(pieces, 0, OVER)
    places = (100, 103, 95, 150, 151, 20)
    deaths = [pieces.died(held(taken(pieces, 0, OVER)), place, near=8) for place in places]
    assert deaths == [2, 3, 4, 2, 3, 2]
    assert taken(pieces, 0).deaths == 3


def test_a_dead_owner_loses_its_pieces_alone(pieces: PieceRows) -> None:
    mine, other = taken(pieces, 0), taken(pieces, 1, owner="other")
    pieces.free("me")
    assert [row.free for row in stored(pieces)] == [True, False, True]
    assert not pieces.renew(held(mine), LONG)
    assert pieces.renew(held(other), LONG)
    assert taken(pieces, 0).deaths == 2


def test_what_a_server_does_not_know_that_it_has_is_no_death(pieces: PieceRows) -> None:
    taken(pieces, 0)
    pieces.free("me", [VIDEO], died=False)
    assert not stored(pieces)[0].free
    pieces.free("me", died=False)
    assert taken(pieces, 0).deaths == 1


def test_another_plan_replaces_the_pieces_and_no_old_write_fits_it(
    store: OwnRows, pieces: PieceRows
) -> None:
    old, differs = held(taken(pieces, 0)), held(taken(pieces, 2))
    pieces.finish(held(taken(pieces, 1)), 10, Losses(), 1.0)
    assert pieces.plan(differs, [(0, None, [])], "damaged", PLANNED_FOR)
    assert not pieces.plan(differs, [(0, None, [])], "damaged", PLANNED_FOR), "it is gone, too"
    assert not pieces.finish(old, 10, Losses(), 1.0)
    row = taken(pieces, 0)
    assert row.epoch > old.epoch
    assert row.deaths == 1
    assert not pieces.finish(old, 10, Losses(), 1.0)
    record = store.get(VIDEO)
    assert record is not None
    assert (record.pieces, record.uncut, record.frames_done) == (1, "damaged", 0)


def test_a_video_is_not_planned_again_while_a_piece_is_held(
    store: OwnRows, pieces: PieceRows
) -> None:
    row, by = held(taken(pieces, 1, owner="other")), whole(store)
    assert not pieces.plan(by, [(0, None, [])], "damaged", PLANNED_FOR)
    assert len(stored(pieces)) == 3
    pieces.release(row)
    assert pieces.plan(by, [(0, None, [])], "damaged", PLANNED_FOR)


def test_a_server_that_releases_all_its_pieces_ends_no_transaction_of_another(
    postgres_url: str,
) -> None:
    """Both lock the pieces in the same order, whichever was changed last."""
    with closing(OwnRows(postgres_url)) as store, ThreadPoolExecutor(1) as another:
        store.add(VideoRecord(VIDEO, "clip", "fake", 6, INFO, ("masks.mkv",), "f"), 9)
        pieces = PieceRows(store.database)
        assert pieces.plan(whole(store), [(0, 9, []), (10, None, [])], None, PLANNED_FOR)
        later, earlier = taken(pieces, 1), taken(pieces, 0)
        with store.database.begin() as connection:
            connection.execute(held_row(held(earlier)).values(frames=5))
            freed = another.submit(pieces.free, "me")
            until_one_waits(connection)
            connection.execute(held_row(held(later)).values(frames=5))
        freed.result()
        assert all(row.free for row in stored(pieces))


@pytest.mark.parametrize("how", ["succeeded", "failed by a piece", "cancelled"])
def test_a_video_that_ended_has_no_pieces(store: OwnRows, pieces: PieceRows, how: str) -> None:
    ends: dict[str, Any] = {
        "succeeded": lambda: store.finish(whole(store), VideoState.SUCCEEDED, 2.0, 30),
        "failed by a piece": lambda: store.finish(
            held(taken(pieces, 1)), VideoState.FAILED, 2.0, 30
        ),
        "cancelled": lambda: store.cancel(VIDEO, 2.0),
    }
    assert ends[how]()
    assert stored(pieces) == []
    assert pieces.take_whole(VIDEO, "me", LONG) is None
