"""Where a video is cut, and which piece a lane takes next."""

from __future__ import annotations

import json
from fractions import Fraction
from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sources.cuts import Cuts, KeyFrame, Uncut
from server.videos.pieces import (
    Piece,
    cuts_of,
    in_one_piece,
    keys_of,
    next_piece,
    plan,
    stored_keys,
    stretch_of,
)


def cuts(pictures: int, *numbers: int) -> Cuts:
    return Cuts(pictures, tuple(KeyFrame(n, 40 * n, None, Fraction(n, 25)) for n in numbers))


def test_pieces_begin_at_the_first_key_frame_that_makes_them_long_enough() -> None:
    found = plan(cuts(100, 0, 12, 24, 36, 48, 60, 72, 84, 96), horizon=2, length=30)
    assert found.reason is None
    assert found.pieces == (Piece(0, 0, 35), Piece(1, 36, 99))


@pytest.mark.parametrize(
    ("found", "horizon", "reason"),
    [
        (cuts(100, 0, 50), None, Uncut.NO_HORIZON),
        (cuts(59, 0, 30), 2, Uncut.SHORT),
        (cuts(100, 0, 99), 2, Uncut.KEY_FRAMES),
        (Cuts(100, reason=Uncut.TIMES), 2, Uncut.TIMES),
    ],
)
def test_a_video_that_is_not_cut_says_why(found: Cuts, horizon: int | None, reason: Uncut) -> None:
    assert plan(found, horizon, length=30) == in_one_piece(reason)


@given(
    st.integers(1, 400),
    st.sets(st.integers(1, 399), max_size=40),
    st.integers(1, 60),
    st.integers(0, 20),
)
def test_pieces_are_long_enough_and_leave_nothing_out(
    pictures: int, keys: set[int], length: int, horizon: int
) -> None:
    given_cuts = cuts(pictures, 0, *sorted(key for key in keys if key < pictures))
    found = plan(given_cuts, horizon, length)
    if found.reason:
        assert found.pieces == (Piece(0, 0, None),)
        return
    assert [piece.number for piece in found.pieces] == list(range(len(found.pieces)))
    assert found.pieces[0].first == 0 and found.pieces[-1].last == pictures - 1
    assert all(one.last == two.first - 1 for one, two in pairwise(found.pieces) if one.last)
    assert all((p.last or 0) + 1 - p.first >= length for p in found.pieces)
    stored = [stored_keys(keys_of(piece, given_cuts, horizon)) for piece in found.pieces]
    known = cuts_of(found.pieces, json.loads(json.dumps(stored)))
    if len(found.pieces) > 1:
        assert known.pictures == given_cuts.pictures
    for piece in found.pieces[1:]:
        assert stretch_of(piece, known, horizon) == stretch_of(piece, given_cuts, horizon)
        assert piece.first in {key.number for key in known.keys}
        stretch = stretch_of(piece, given_cuts, horizon)
        assert stretch is not None
        assert stretch.first == piece.first
        assert stretch.warm_up == max(0, piece.first - horizon) >= stretch.key.number


def test_the_first_piece_is_read_from_the_start_of_the_file() -> None:
    assert stretch_of(Piece(0, 0, 29), cuts(60, 0, 30), 2) is None


def test_a_warm_up_may_need_an_earlier_key_frame() -> None:
    stretch = stretch_of(Piece(1, 30, 59), cuts(60, 0, 15, 29, 30), 2)
    assert stretch is not None
    assert (stretch.key.number, stretch.warm_up, stretch.first) == (15, 28, 30)


def test_a_plan_keeps_what_reading_its_pieces_depends_on_and_no_more() -> None:
    given_cuts = cuts(90, 0, 15, 29, 30, 45, 60)
    pieces = plan(given_cuts, 2, 30).pieces
    keys = [keys_of(piece, given_cuts, 2) for piece in pieces]
    assert [[key.number for key in of_piece] for of_piece in keys] == [[0], [15, 30], [45, 60]]
    assert stored_keys(keys[1]) == [[15, 600, None, "3/5"], [30, 1200, None, "6/5"]]
    assert cuts_of(pieces, [stored_keys(one) for one in keys]) == cuts(90, 0, 15, 30, 45, 60)


def test_of_a_video_that_is_not_cut_nothing_is_kept() -> None:
    pieces = in_one_piece(Uncut.SHORT).pieces
    assert keys_of(pieces[0], cuts(5, 0), 2) == []
    assert cuts_of(pieces, [[]]) == Cuts(0)


@pytest.mark.parametrize(
    ("free", "taken", "after", "chosen"),
    [
        (range(8), (), None, 0),
        (range(1, 8), (0,), None, 4),
        ((1, 2, 3, 5, 6, 7), (0, 4), None, 2),
        (range(3, 8), (2,), 2, 3),
        ((2, 5, 6, 7), (4,), 1, 2),
        ((2, 5, 6, 7), (1,), 3, 5),
        ((), (1,), 0, None),
        ((4,), (3,), None, 4),
    ],
)
def test_a_lane_reads_on_or_begins_in_the_largest_gap(
    free: range | tuple[int, ...], taken: tuple[int, ...], after: int | None, chosen: int | None
) -> None:
    assert next_piece(set(free), taken, after) == chosen


@given(st.integers(1, 30), st.integers(1, 5), st.randoms(use_true_random=False))
def test_every_piece_is_taken_once(pieces: int, lanes: int, chance: Random) -> None:
    free, running, done = set(range(pieces)), {}, set()
    last: dict[int, int | None] = dict.fromkeys(range(lanes))
    while len(done) < pieces:
        lane = chance.randrange(lanes)
        if lane in running:
            last[lane] = running.pop(lane)
            done.add(last[lane])
        chosen = next_piece(free, running.values(), last[lane])
        if chosen is not None:
            free.remove(chosen)
            running[lane] = chosen
    assert done == set(range(pieces))
