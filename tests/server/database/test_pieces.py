"""The rows of pieces: one owner at a time, and no write of one that was thought dead."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from fractions import Fraction
from typing import Any

import pytest
from own_rows import OwnRows

from server.database.pieces import Held, PieceRow, PieceRows, PieceState
from server.database.video_record import VideoRecord, VideoState
from server.frame import Losses, VideoInfo

INFO = VideoInfo(64, 48, 30, 1.2, Fraction(25), Fraction(1, 1000))
VIDEO = "v"
LONG = 1000.0
OVER = -1.0
"""A lease that has ended already."""


@pytest.fixture
def store(database_url: str) -> Iterator[OwnRows]:
    rows = OwnRows(database_url)
    rows.add(VideoRecord(VIDEO, "clip", "fake", 6, INFO, ("masks.mkv",), "f"), 9)
    assert rows.claim(1.0)
    yield rows
    rows.close()


@pytest.fixture
def pieces(store: OwnRows) -> PieceRows:
    pieces = PieceRows(store.database)
    pieces.plan(VIDEO, [(0, 9), (10, 19), (20, None)], None, "signature")
    return pieces


def taken(pieces: PieceRows, number: int, lease: float = LONG, owner: str = "me") -> PieceRow:
    row = pieces.take(VIDEO, number, owner, lease)
    assert row is not None
    return row


def held(row: PieceRow) -> Held:
    return Held(row.video, row.number, row.epoch)


def test_a_plan_is_stored_with_its_video(store: OwnRows, pieces: PieceRows) -> None:
    rows = pieces.all(VIDEO)
    assert [(row.number, row.first, row.last) for row in rows] == [
        (0, 0, 9), (1, 10, 19), (2, 20, None),
    ]  # fmt: skip
    assert all(row.free and row.state is PieceState.WAITING for row in rows)
    record = store.get(VIDEO)
    assert record is not None
    assert (record.pieces, record.uncut, record.planned_for) == (3, None, "signature")


def test_a_piece_that_is_taken_is_not_free(pieces: PieceRows) -> None:
    row = taken(pieces, 1)
    assert (row.epoch, row.deaths, row.state) == (1, 1, PieceState.RUNNING)
    assert pieces.take(VIDEO, 1, "other", LONG) is None
    assert [row.free for row in pieces.all(VIDEO)] == [True, False, True]
    assert pieces.take(VIDEO, 7, "me", LONG) is None


def test_of_many_that_take_a_piece_one_gets_it(pieces: PieceRows) -> None:
    with ThreadPoolExecutor(4) as threads:
        found = list(threads.map(lambda n: pieces.take(VIDEO, 0, str(n), LONG), range(8)))
    assert len([row for row in found if row is not None]) == 1


def test_a_lease_that_ended_frees_a_piece_and_its_holder_changes_nothing(
    pieces: PieceRows,
) -> None:
    late = held(taken(pieces, 0, OVER))
    assert pieces.all(VIDEO)[0].free
    row = taken(pieces, 0, owner="other")
    assert (row.epoch, row.deaths) == (2, 2)
    assert not pieces.renew(late, LONG)
    assert not pieces.finish(late, 10, Losses(), 1.0)
    assert not pieces.release(late)
    for _ in range(2):
        assert pieces.finish(held(row), 10, Losses(), 1.0), "who got no answer finishes it again"


def test_a_lease_that_is_renewed_goes_on(pieces: PieceRows) -> None:
    row = held(taken(pieces, 0, OVER))
    assert pieces.renew(row, LONG)
    assert pieces.take(VIDEO, 0, "other", LONG) is None


def test_a_finished_piece_counts_for_its_video(store: OwnRows, pieces: PieceRows) -> None:
    pieces.finish(held(taken(pieces, 0)), 10, Losses(), 1.5)
    pieces.finish(held(taken(pieces, 2)), 12, Losses(damaged=1), 2.5)
    record = store.get(VIDEO)
    assert record is not None
    assert (record.frames_done, record.spent) == (22, 2.5)
    done = [row for row in pieces.all(VIDEO) if row.state is PieceState.DONE]
    assert [(row.frames, row.losses) for row in done] == [(10, Losses()), (12, Losses(damaged=1))]
    assert not any(row.free for row in done)


def test_a_piece_given_back_is_no_death(pieces: PieceRows) -> None:
    assert pieces.release(held(taken(pieces, 0)))
    row = taken(pieces, 0)
    assert (row.epoch, row.deaths) == (2, 1)


def test_deaths_in_the_same_place_add_up_and_others_begin_anew(pieces: PieceRows) -> None:
    deaths = []
    for reached in (100, 103, 95, 150, 151, 20):
        deaths.append(taken(pieces, 0, OVER).deaths)
        pieces.died(VIDEO, 0, reached, near=8)
    assert deaths == [1, 2, 3, 4, 2, 3]
    assert taken(pieces, 0).deaths == 2


def test_a_dead_owner_loses_its_pieces_alone(pieces: PieceRows) -> None:
    mine, other = taken(pieces, 0), taken(pieces, 1, owner="other")
    pieces.free_all("me")
    assert [row.free for row in pieces.all(VIDEO)] == [True, False, True]
    assert not pieces.renew(held(mine), LONG)
    assert pieces.renew(held(other), LONG)


def test_another_plan_replaces_the_pieces_and_no_old_write_fits_it(
    store: OwnRows, pieces: PieceRows
) -> None:
    old = held(taken(pieces, 0))
    pieces.finish(held(taken(pieces, 1)), 10, Losses(), 1.0)
    pieces.plan(VIDEO, [(0, None)], "damaged", "signature")
    assert not pieces.finish(old, 10, Losses(), 1.0)
    row = taken(pieces, 0)
    assert (row.epoch, row.deaths) == (2, 1)
    assert not pieces.finish(old, 10, Losses(), 1.0)
    record = store.get(VIDEO)
    assert record is not None
    assert (record.pieces, record.uncut, record.frames_done) == (1, "damaged", 0)


def test_a_piece_that_is_begun_forgives_the_video_its_attempts(
    store: OwnRows, pieces: PieceRows
) -> None:
    for _ in range(5):
        store.recover(1.0, 3, {})
        assert store.claim(1.0) is not None
        taken(pieces, 0, OVER)
    record = store.get(VIDEO)
    assert record is not None
    assert (record.state, record.attempts) == (VideoState.RUNNING, 1)


@pytest.mark.parametrize("how", ["succeeded", "cancelled", "too many attempts"])
def test_a_video_that_ended_has_no_pieces(store: OwnRows, pieces: PieceRows, how: str) -> None:
    ends: dict[str, Any] = {
        "succeeded": lambda: store.finish(VIDEO, VideoState.SUCCEEDED, 2.0, 30),
        "cancelled": lambda: store.cancel(VIDEO, 2.0),
        "too many attempts": lambda: store.recover(2.0, 1, {}),
    }
    ends[how]()
    assert pieces.all(VIDEO) == []
