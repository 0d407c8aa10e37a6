"""Presentation times that rise. All in ticks of a picture, so that n is the nth one's time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.sources.clocks import Stamp
from server.sources.timeline import (
    MAX_PAUSE,
    MAX_PAUSE_OF_JUMPY,
    PATIENCE,
    UNTIMED,
    Rhythm,
    Timeline,
    believed,
    longest_pause,
)  # fmt: skip

RATE = Fraction(25)
STEP = 1 / RATE
GRAIN = Fraction(1, 90_000)
Times = Sequence[float | None]

FIVE_HOURS = 5 * 3600 * 25


def seconds(time: float | None) -> Fraction | None:
    return None if time is None else Fraction(time).limit_denominator(100) * STEP


def stamps(
    times: Times, dts: Times = (), *, jumpy: bool = False, live: bool = False
) -> list[float]:
    """Return when these pictures are shown."""
    timeline = Timeline[int](
        Rhythm(RATE, GRAIN, longest_pause(RATE, jumpy)), patience=0 if live else PATIENCE
    )
    settled = []
    for index, time in enumerate(times):
        decoded = seconds(dts[index]) if dts else None
        settled += timeline.add(index, Stamp(seconds(time), decoded))
    settled += timeline.finish()
    assert [index for index, _ in settled] == list(range(len(times)))
    return [float(pts / STEP) for _, pts in settled]


N = list(range(12))

KEPT: dict[str, Times] = {
    "even": N,
    "variable": (0, 0.25, 1, 1.25, 12, 50, 50.25),
    "a late start": (1000, 1001, 1002),
    "a pause": (0, 1, 75_000, 150_000),
    "a pause at the end": (0, 1, 2, 75_000),
    "slow": range(0, 12 * 1500, 1500),
    "one": (7,),
}

MENDED: dict[str, tuple[Times, Times]] = {
    "no times": ([None] * 40, range(40)),
    "missing in the middle": ((0, 1, None, None, 4, 5), range(6)),
    "missing before a pause": ((0, 1, None, 100, 101), (0, 1, 2, 100, 101)),
    "missing at the end": ((0, 1, 2, None, None), range(5)),
    "missing at the beginning": ((None, None, None, 5, 6, 7, 8), range(2, 9)),
    "and more than have room there": ((None, None, None, 1.5, 2.5), (0, 0.5, 1, 1.5, 2.5)),
    "and where there is none": ((None, None, 0, 1, 2), range(5)),
    "missing for long": ([None] * UNTIMED + [20, 21, 22], [*range(4, 20), 20, 21, 22]),
    "twice the same": ((0, 0, 2, 2, 4, 4, 6), range(7)),
    "always the same": ([3] * 8, range(3, 11)),
    "a little behind": ((0, 1, 2, 1.5, 4, 5, 6), range(7)),
    "a little ahead": ((0, 1, 2, 7, 4, 5, 6), range(7)),
    "two in a row": ((0, 1, 9000, -50, 4, 5, 6, 7), range(8)),
    "three": ((0, 1, FIVE_HOURS, 3, -150, 5, 6, -2_000_000, 8, 9), range(10)),
    "no room": ((0, 1, 0.5, 1.5, 2.5), (0, 1, 1.25, 1.5, 2.5)),
    "before 0": ((-18, -17, -16, -15), range(4)),
    "a clock that begins anew": ((500, 501, 502, 0, 1, 2, 3), range(500, 507)),
    "a little earlier": ((100, 101, 102, 90, 91, 92, 93), range(100, 107)),
    "twice": ((*range(500, 506), *range(6), *range(6)), range(500, 518)),
    "a clock that jumps ahead": ((0, 1, 2, *range(1_250_000, 1_250_005)), range(8)),
    "a last one that jumps ahead": ((0, 1, 2, FIVE_HOURS), range(4)),
}


@pytest.mark.parametrize("kind", KEPT)
def test_plausible_times_are_kept_exactly(kind: str) -> None:
    assert stamps(KEPT[kind]) == list(KEPT[kind])


@pytest.mark.parametrize("kind", MENDED)
def test_others_are_mended(kind: str) -> None:
    times, wanted = MENDED[kind]
    assert stamps(times) == list(wanted)


@pytest.mark.parametrize("index", N)
@pytest.mark.parametrize("wrong", [FIVE_HOURS, 2500, 100, -180, -2_386_092, 10**9])
def test_one_wrong_time_affects_only_itself(index: int, wrong: int) -> None:
    told = [*N[:index], wrong, *N[index + 1 :]]
    # Nothing tells a pause before the last picture from a wrong time.
    pause = index == N[-1] and 0 < wrong < FIVE_HOURS
    assert stamps(told) == (told if pause else N)


def test_decoding_order_is_noticed_before_the_first_picture_is_given() -> None:
    matroska = stamps((0, 3, 2, 4, 1, 7, 6, 8, 5, 9), (0, 1, 2, 3, 4, 5, 6, 7, None, None))
    assert matroska == list(range(10))
    avi = stamps((1, 4, 3, 5, 2, 8, 7, 9), (2, 3, 4, 5, 6, 7, None, None))
    assert avi == list(range(2, 10))


def test_where_clocks_jump_a_shorter_pause_is_a_jump() -> None:
    joined = (0, 1, 2, *range(7250, 7256))
    assert stamps(joined) == list(joined)
    assert stamps(joined, jumpy=True) == list(range(9))
    short = (0, 1, 2, 200, 201)
    assert stamps(short, jumpy=True) == list(short)


def test_the_longest_pause_grows_with_the_usual_distance() -> None:
    assert longest_pause(RATE, False) == MAX_PAUSE
    assert longest_pause(RATE, True) == MAX_PAUSE_OF_JUMPY
    assert longest_pause(Fraction(1, 60), True) == 600


def test_a_camera_is_never_waited_for() -> None:
    timeline = Timeline[str](Rhythm(RATE, GRAIN, MAX_PAUSE_OF_JUMPY), patience=0)
    assert list(timeline.add("a", Stamp(None))) == [("a", 0)]
    assert list(timeline.add("b", Stamp(Fraction(3)))) == [("b", 3)]


def test_a_camera_continues_after_a_jump() -> None:
    assert stamps((0, 1, None, 3), live=True) == [0, 1, 2, 3]
    assert stamps((0, 1, 9000, 9001), jumpy=True, live=True) == [0, 1, 2, 3]
    assert stamps((500, 501, 0, 1), live=True) == [500, 501, 502, 503]
    near = stamps((0, 10, 9, 11), live=True)
    assert near == [0, 10, pytest.approx(10, abs=0.01), 11]


def test_made_up_times_do_not_drift() -> None:
    timeline = Timeline[None](Rhythm(Fraction(30), Fraction(1, 1000), MAX_PAUSE))
    settled = [pts for _ in range(301) for _, pts in timeline.add(None, Stamp(None))]
    settled += [pts for _, pts in timeline.finish()]
    assert settled[-1] == 10
    assert all(pts.denominator in (1, 2, 4, 5, 8, *range(10, 1001)) for pts in settled)


@pytest.mark.parametrize(
    ("times", "above", "wanted"),
    [
        ((), None, []),
        ((None, None), None, []),
        ((1, 2, 3), 3, []),
        ((1, None, 3), 0, [0, 2]),
        ((9, 1, 2, 3), 0, [1, 2, 3]),
        ((1, 9, 2, 3), 0, [0, 2, 3]),
        ((9, 1), 0, [1]),
        ((2, 1, 3), 0, [0, 2]),
    ],
)
def test_the_row_that_is_believed(times: Times, above: int | None, wanted: list[int]) -> None:
    row = believed(
        [None if time is None else Fraction(time) for time in times],
        None if above is None else Fraction(above),
    )
    assert [index for index, _ in row] == wanted


@given(
    st.lists(st.none() | st.fractions(-100, 100, max_denominator=90000), max_size=30),
    st.booleans(),
    st.booleans(),
)
def test_they_always_rise_from_0_on(times: list[Fraction | None], live: bool, jumpy: bool) -> None:
    found = stamps(
        [None if time is None else float(time) for time in times], live=live, jumpy=jumpy
    )
    assert all(a < b for a, b in pairwise(found))
    assert all(time >= 0 for time in found)
