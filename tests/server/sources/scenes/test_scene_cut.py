from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from numpy.random import default_rng

from benchmarks.scene_clips import KINDS, seen, world
from benchmarks.scene_cuts import RATES, Score, score, synthetic
from benchmarks.scene_footage import joined, read_all
from server.frame import Pixels
from server.sources.scenes.scene_cut import SceneCut, look
from server.sources.synthetic import pictures

A, B, C = (seen(world(default_rng(seed))) for seed in (0, 1, 2))
BLACK, WHITE = np.zeros_like(A), np.full_like(A, 255)

STEADY = (
    "still", "panning", "shaking", "zooming", "exposure", "flashing", "black pictures", "night",
)  # fmt: skip
CUT = ("cuts", "cuts in bars", "through black")


def lit(picture: Pixels, light: int) -> Pixels:
    return np.clip(picture.astype(int) + light, 0, 255).astype(np.uint8)


def cuts(shown: Sequence[Pixels], rate: int = 25) -> list[int]:
    """Indices of the pictures that are reported."""
    state, found = SceneCut(), []
    for index, picture in enumerate(shown):
        state, is_cut = look(state, picture, Fraction(index, rate))
        found += [index] * is_cut
    return found


@pytest.mark.parametrize("rate", RATES)
@pytest.mark.parametrize("kind", STEADY)
def test_no_cut_is_reported_where_there_is_none(kind: str, rate: int) -> None:
    assert synthetic(kind, rate, seconds=5).false_alarms == 0


@pytest.mark.parametrize("rate", [25, 5])
@pytest.mark.parametrize("kind", CUT)
def test_every_cut_is_reported_and_nothing_else(kind: str, rate: int) -> None:
    found = synthetic(kind, rate, seconds=6)
    assert found.cuts >= 2
    assert (found.misses, found.false_alarms) == (0, 0)


def test_something_large_that_fills_the_picture_is_no_cut() -> None:
    assert synthetic("filling", 25, seconds=5).false_alarms == 0


def test_lost_pictures_are_no_cuts_and_hide_none() -> None:
    assert synthetic("panning, dropped", 25, seconds=5).false_alarms == 0
    found = synthetic("cuts, dropped", 25, seconds=6)
    assert (found.misses, found.false_alarms) == (0, 0)


def test_the_report_is_of_the_first_picture_of_the_new_scene() -> None:
    assert cuts([A] * 8 + [B] * 8 + [C] * 8) == [8, 16]


def test_the_first_picture_is_no_cut_and_two_are_enough_for_one() -> None:
    assert cuts([A]) == []
    assert cuts([A, B]) == [1]


def test_a_single_picture_of_another_scene_is_two_cuts() -> None:
    assert cuts([A] * 8 + [B] + [A] * 8) == [8, 9]


def test_a_scene_that_dissolves_into_another_is_one_cut() -> None:
    found = synthetic("dissolving", 25, seconds=8)
    assert (found.cuts, found.misses, found.false_alarms) == (2, 0, 0)


@pytest.mark.parametrize("count", [1, 2])
def test_a_flash_is_no_cut_whatever_it_shows(count: int) -> None:
    dark = (A * 0.2).astype(np.uint8)
    for flash in (WHITE, lit(A, 90), lit(A, 200), lit(B, 90)):
        assert cuts([dark] * 8 + [flash] * count + [dark] * 8) == []


def test_a_cut_to_a_brighter_scene_is_reported_once_it_outlasts_a_flash() -> None:
    dark = (A * 0.2).astype(np.uint8)
    assert cuts([dark] * 8 + [lit(B, 90)] * 8) == [10]


def test_black_pictures_are_no_scene() -> None:
    assert cuts([A] * 8 + [BLACK] * 5 + [A] * 8) == []
    assert cuts([A] * 8 + [BLACK] * 5 + [B] * 8) == [13]
    assert cuts([BLACK] * 5 + [A] * 8) == []
    assert cuts([BLACK] * 9) == []


def test_flat_pictures_of_another_colour_are_another_scene() -> None:
    red, blue = (np.full_like(A, colour) for colour in ((200, 30, 30), (30, 30, 200)))
    assert cuts([red] * 8 + [blue] * 8) == [8]


def test_scenes_of_the_same_colours_are_distinguished() -> None:
    mirrored = np.ascontiguousarray(A[::-1, ::-1])
    assert cuts([A] * 8 + [mirrored] * 8) == [8]


def test_the_moving_test_pattern_has_no_cut() -> None:
    assert cuts(pictures(352, 480, 30)) == []


def test_times_are_optional_and_may_be_floats() -> None:
    state, found = SceneCut(), []
    for pts, picture in ((None, A), (0.5, A), (None, B), (1.5, B)):
        state, is_cut = look(state, picture, pts)
        found.append(is_cut)
    assert found == [False, False, True, False]


def test_a_state_can_be_used_again() -> None:
    before, _ = look(SceneCut(), A, 0)
    assert look(before, B, 0.04)[1]
    assert not look(before, A, 0.04)[1]
    assert look(before, B, 0.04)[1]


def test_every_kind_of_footage_says_where_its_cuts_are() -> None:
    clips = {kind: make(default_rng(0), 5, 5) for kind, make in KINDS.items()}
    cutting = {kind for kind, clip in clips.items() if any(shown.is_cut for shown in clip)}
    assert cutting == {*CUT, "cuts at night", "cuts, dropped", "dissolving"}


@pytest.mark.data
def test_real_clips_have_no_cut_and_joined_ones_have_each_where_it_is(data: Path) -> None:
    footage = read_all(data, RATES)
    for rate in (25, 5):
        clips = [one for one in footage if rate in one.pictures]
        assert {one.name: score(one.shown(rate)).false_alarms for one in clips} == dict.fromkeys(
            (one.name for one in clips), 0
        )
        found = score(joined(clips, rate, default_rng(0)))
        assert (found.cuts, found.misses, found.false_alarms) == (23, 0, 0)
    slow = sum((score(joined(footage, 1, default_rng(seed))) for seed in range(4)), Score())
    assert slow.recall > 0.85 and slow.precision > 0.9


def test_flashes_apart_are_no_cut_even_if_nothing_moves_in_between() -> None:
    flash = lit(A, 90)
    assert cuts([A, A, flash, A, A, flash, A, A, flash, A, A, flash, A]) == []
