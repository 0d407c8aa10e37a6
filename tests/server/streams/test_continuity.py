"""One stream out of many connections: rising numbers and times, and why a memory is emptied."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from itertools import pairwise

import numpy as np
import pytest

from server.frame import Frame, ResetCause
from server.streams.continuity import Continuity, Placed, follow
from server.streams.definition import StreamDefinition

F = Fraction

ASKED = StreamDefinition("cam", "rtsp://host/path", max_gap=2.0)


def frame(pts: F | None, arrived: float, size: tuple[int, int] = (48, 64)) -> Frame:
    return Frame(np.zeros((16, 16, 3), np.uint8), 0, pts=pts, arrived=arrived, size=size)


def play(
    frames: list[tuple[Frame, int, bool]], asked: StreamDefinition = ASKED
) -> list[Placed | None]:
    state, found = Continuity(), []
    for one, connection, is_cut in frames:
        state, placed = follow(state, one, connection, is_cut, asked)
        found.append(placed)
    return found


def times(found: list[Placed | None]) -> list[F | None]:
    return [None if one is None else one.frame.pts for one in found]


def causes(found: list[Placed | None]) -> list[ResetCause | None]:
    return [None if one is None else one.reset for one in found]


def test_numbers_and_times_rise_across_connections() -> None:
    found = play(
        [
            (frame(F(5), 100.0), 1, False),
            (frame(F(126, 25), 100.04), 1, False),
            (frame(F(0), 107.04), 2, False),
            (frame(F(1, 25), 107.08), 2, False),
            (frame(F(900), 107.081), 3, False),
        ]
    )
    assert [one and one.frame.seq for one in found] == [0, 1, 2, 3, 4]
    assert times(found) == [
        F(5), F(126, 25), F(126, 25) + 7, F(127, 25) + 7, F(127, 25) + 7 + F(1, 1000),
    ]  # fmt: skip


def test_a_connection_without_times_begins_at_0() -> None:
    assert times(play([(frame(None, 3.0), 1, False)])) == [F(0)]


def test_each_cause_empties_the_memory_and_the_first_that_holds_is_reported() -> None:
    found = play(
        [
            (frame(F(0), 0.0), 1, True),
            (frame(F(1), 1.0), 1, False),
            (frame(F(4), 4.0), 1, False),
            (frame(F(5), 5.0, (96, 128)), 1, False),
            (frame(F(6), 6.0, (96, 128)), 1, True),
            (frame(F(0), 10.0), 2, True),
        ]
    )
    assert causes(found) == [
        None, None, ResetCause.GAP, ResetCause.SIZE, ResetCause.CUT, ResetCause.CONNECTION,
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("kept", "event"),
    [
        ({"on_gap": "keep"}, (frame(F(9), 9.0), 1, False)),
        ({"on_size": "keep"}, (frame(F(1), 1.0, (9, 9)), 1, False)),
        ({"on_cut": "keep"}, (frame(F(1), 1.0), 1, True)),
        ({"on_connect": "keep"}, (frame(F(1), 1.0), 2, False)),
    ],
)
def test_a_memory_that_is_to_be_kept_is_kept(
    kept: dict[str, str], event: tuple[Frame, int, bool]
) -> None:
    asked = replace(ASKED, **kept)
    assert causes(play([(frame(F(0), 0.0), 1, False), event], asked)) == [None, None]


def test_frames_beyond_max_fps_are_passed_over() -> None:
    asked = replace(ASKED, max_fps=10)
    found = play([(frame(F(n, 25), n / 25), 1, False) for n in range(26)], asked)
    taken = [time for time in times(found) if time is not None]
    assert len(taken) == 11
    gaps = [b - a for a, b in pairwise(taken)]
    assert min(gaps) >= F(2, 25) and max(gaps) <= F(3, 25)
    assert [one.frame.seq for one in found if one] == list(range(11))


def test_a_stream_slower_than_max_fps_loses_nothing_and_never_bursts() -> None:
    asked = replace(ASKED, max_fps=10)
    slow = [F(n, 8) for n in range(8)]
    burst = [1 + F(n, 100) for n in range(20)]
    found = play([(frame(t, float(t)), 1, False) for t in [*slow, *burst]], asked)
    assert all(one is not None for one in found[:8])
    assert sum(one is not None for one in found[8:]) <= 3


SLOW = replace(ASKED, max_fps=1.0)


@pytest.mark.parametrize(
    ("connection", "size", "is_cut", "cause"),
    [
        (2, (48, 64), False, ResetCause.CONNECTION),
        (1, (96, 64), False, ResetCause.SIZE),
        (1, (48, 64), True, ResetCause.CUT),
    ],
)
def test_what_happens_between_frames_that_are_taken_counts(
    connection: int, size: tuple[int, int], is_cut: bool, cause: ResetCause
) -> None:
    found = play(
        [
            (frame(F(0), 0.0), 1, False),
            (frame(F(1, 4), 0.25, size), connection, is_cut),
            (frame(F(1, 2), 0.5, size), connection, False),
            (frame(F(1), 1.0, size), connection, False),
            (frame(F(2), 2.0, size), connection, False),
        ],
        SLOW,
    )
    assert causes(found) == [None, None, None, cause, None]


def test_frames_that_are_passed_over_are_no_gap() -> None:
    rare = replace(ASKED, max_fps=0.2)
    found = play([(frame(F(second), float(second)), 1, False) for second in range(11)], rare)
    assert [one is not None for one in found] == [second % 5 == 0 for second in range(11)]
    assert causes(found) == [None] * 11
