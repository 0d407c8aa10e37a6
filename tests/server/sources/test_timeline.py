"""Presentation times that rise."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from server.sources.timeline import Timeline

RATE, TICK = Fraction(25), Fraction(1, 1000)


def stamps(*given_times: Fraction | None) -> list[Fraction]:
    timeline = Timeline(RATE, TICK)
    return [timeline.stamp(pts) for pts in given_times]


def test_rising_times_are_kept_exactly() -> None:
    times = [Fraction(-1, 3), Fraction(0), Fraction(1001, 30000), Fraction(7)]
    assert stamps(*times) == times


def test_missing_times_follow_the_rate() -> None:
    assert stamps(None, None, None) == [0, Fraction(1, 25), Fraction(2, 25)]
    assert stamps(Fraction(2), None, Fraction(3)) == [2, 2 + Fraction(1, 25), 3]


def test_disorder_is_moved_by_one_tick_and_leaves_the_rest_alone() -> None:
    assert stamps(Fraction(1), Fraction(1), Fraction(9, 10), Fraction(2)) == [
        1,
        1 + TICK,
        1 + 2 * TICK,
        2,
    ]


def test_a_clock_that_begins_anew_goes_on_where_it_was() -> None:
    step = 1 / RATE
    assert stamps(Fraction(8), Fraction(9), Fraction(0), Fraction(1)) == [8, 9, 9 + step, 10 + step]


@given(st.lists(st.none() | st.fractions(-100, 100, max_denominator=90000), max_size=30))
def test_they_always_rise(times: list[Fraction | None]) -> None:
    found = stamps(*times)
    assert all(a < b for a, b in pairwise(found))
