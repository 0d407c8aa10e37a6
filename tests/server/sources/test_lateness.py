"""Growing delays are found; clocks that are set, drift or start late do not count as such."""

from __future__ import annotations

from fractions import Fraction
from itertools import pairwise

import pytest

from server.sources.lateness import Lateness

RATE = 25


def delays(*pictures: tuple[float, float]) -> list[float]:
    """The delay of each picture, given when it is shown and when it is decoded."""
    lateness = Lateness(0.25)
    return [lateness.behind(Fraction(shown), now) for shown, now in pictures]


def test_pictures_on_time_have_no_delay() -> None:
    assert delays(*[(i / 25, 100 + i / 25) for i in range(100)]) == pytest.approx([0] * 100)


def test_a_decoder_that_is_too_slow_falls_behind() -> None:
    slow = delays(*[(i / 25, 100 + i / 20) for i in range(101)])
    assert slow[-1] == pytest.approx(1.0, abs=0.02) and slow == sorted(slow)


def test_a_burst_at_the_beginning_is_no_delay_and_lowers_the_measure() -> None:
    early = [(i / 25, 100.0) for i in range(25)]
    assert delays(*early, (1.0, 100.5)) == pytest.approx([0] * 25 + [0.46], abs=0.001)


def test_a_stall_of_the_network_is_a_delay_until_its_burst_is_over() -> None:
    before = [(i / 25, 100 + i / 25) for i in range(25)]
    burst = [(1 + i / 25, 103.0 + i / 1000) for i in range(51)]
    found = delays(*before, *burst)
    assert found[25] == pytest.approx(2.0, abs=0.01) and found[-1] < 0.1


@pytest.mark.parametrize("leap", [-3600.0, 3600.0])
def test_a_clock_that_is_set_is_no_delay(leap: float) -> None:
    before = [(4000 + i / 25, 100 + i / 25) for i in range(25)]
    after = [(4001 + leap + i / 25, 101 + i / 25) for i in range(25)]
    assert max(delays(*before, *after)) == pytest.approx(0, abs=0.01)


def test_a_camera_whose_clock_runs_slow_is_followed_for_days() -> None:
    day = [(i * (1 - 1e-4), 100.0 + i) for i in range(86_400)]
    assert max(delays(*day)) < 0.01


def test_no_picture_is_passed_over_on_time_and_some_are_taken_however_late() -> None:
    lateness = Lateness(0.25)
    on_time = [lateness.passes_over(Fraction(i, RATE), 100 + i / RATE) for i in range(50)]
    assert not any(on_time)
    late = [lateness.passes_over(2 + Fraction(i, RATE), 103 + i / RATE) for i in range(50)]
    taken = [index for index, over in enumerate(late) if not over]
    assert taken[0] <= 7 and all(b - a == 7 for a, b in pairwise(taken))


def test_a_picture_without_a_time_is_taken() -> None:
    assert not Lateness(0.25).passes_over(None, 5.0)
