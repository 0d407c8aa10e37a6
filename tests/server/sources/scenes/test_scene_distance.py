from __future__ import annotations

import numpy as np
import pytest
from numpy.random import default_rng

from benchmarks.scene_clips import HEIGHT, WIDTH, seen, world
from server.frame import Pixels
from server.sources.scenes.scene_distance import distance, is_much_the_same, look_at

SCENE, OTHER = (world(default_rng(seed)) for seed in (0, 1))


def apart(one: Pixels, other: Pixels) -> float:
    found = distance(look_at(one), look_at(other))
    assert distance(look_at(other), look_at(one)) == pytest.approx(found, abs=1e-3)
    return found


def test_a_picture_is_no_distance_from_itself() -> None:
    assert apart(seen(SCENE), seen(SCENE)) == pytest.approx(-1, abs=0.02)


def test_two_scenes_are_far_apart() -> None:
    assert apart(seen(SCENE), seen(OTHER)) > 0.5


@pytest.mark.parametrize("shift", [8, 40, 120])
def test_a_shift_is_no_distance(shift: int) -> None:
    assert apart(seen(SCENE), seen(SCENE, HEIGHT + shift / 4, WIDTH + shift)) < -0.3


@pytest.mark.parametrize(("gain", "light"), [(0.3, 0), (2, 0), (1, 60), (4, 0), (1, -90)])
def test_light_is_no_distance_even_if_it_saturates(gain: float, light: float) -> None:
    lit = np.clip(gain * seen(SCENE).astype(float) + light, 0, 255).astype(np.uint8)
    assert apart(seen(SCENE), lit) < 0


def test_flat_pictures_are_as_far_apart_as_their_colours() -> None:
    red, blue, reddish = (
        np.full((HEIGHT, WIDTH, 3), colour, np.uint8)
        for colour in ((200, 30, 30), (30, 30, 200), (210, 40, 30))
    )
    assert apart(red, blue) > 0.5
    assert apart(red, reddish) < 0


@pytest.mark.parametrize(("level", "blank"), [(0, True), (255, True), (16, True), (128, False)])
def test_only_black_and_white_pictures_are_blank(level: int, blank: bool) -> None:
    assert look_at(np.full((HEIGHT, WIDTH, 3), level, np.uint8)).is_blank is blank


@pytest.mark.parametrize("size", [(352, 480), (12, 12), (64, 96), (360, 479), (1080, 1920)])
def test_every_size_of_a_model_will_do(size: tuple[int, int]) -> None:
    one, other = (
        np.random.default_rng(seed).integers(0, 255, (*size, 3), dtype=np.uint8) for seed in (0, 1)
    )
    assert apart(one, one) == pytest.approx(-1, abs=0.1)
    assert apart(one, other) > -0.4


def test_pictures_are_not_changed() -> None:
    picture = seen(SCENE)
    picture.flags.writeable = False
    look_at(picture)


def test_what_moves_in_front_of_a_scene_leaves_it_much_the_same() -> None:
    covered = seen(SCENE).copy()
    covered[: HEIGHT // 3, : WIDTH // 3] = 255 - covered[: HEIGHT // 3, : WIDTH // 3]
    assert is_much_the_same(look_at(seen(SCENE)), look_at(covered))
    assert not is_much_the_same(look_at(seen(SCENE)), look_at(seen(OTHER)))
