from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.random import default_rng

from benchmarks.scene_clips import seen, world
from server.frame import Pixels
from server.sources.scenes.dissolve import LENGTH, Trace, follow
from server.sources.scenes.scene_distance import look_at

WORLD = world(default_rng(0))
A, B = seen(WORLD), seen(world(default_rng(1)))


def mixed(share: float) -> Pixels:
    return ((1 - share) * A + share * B).astype(np.uint8)


def dissolves(shown: Sequence[Pixels], step: float = 0.2) -> list[int]:
    trace, found = (), []
    for index, picture in enumerate(shown):
        trace, is_over = follow(trace, look_at(picture), index * step + 1e-6 * index)
        assert len(trace) <= LENGTH
        found += [index] * is_over
    return found


def test_a_dissolve_is_over_once_the_new_scene_shows() -> None:
    found = dissolves([A] * 6 + [mixed(share) for share in (0.2, 0.4, 0.6, 0.8)] + [B] * 8)
    assert len(found) == 1
    assert found[0] in range(8, 12)


def test_a_dissolve_that_turns_back_is_none() -> None:
    shares = (0.2, 0.3, 0.2, 0.1)
    assert dissolves([A] * 6 + [mixed(share) for share in shares] + [A] * 8) == []


def test_what_moves_or_covers_is_no_mixture() -> None:
    assert dissolves([seen(WORLD, left=60 * index) for index in range(20)]) == []
    wiped = A.copy(), A.copy()
    for index, picture in enumerate(wiped, 1):
        picture[:, : 160 * index] = B[:, : 160 * index]
    assert dissolves([A] * 6 + [*wiped] + [B] * 8) == []


def test_light_that_fades_is_no_dissolve() -> None:
    faded = [(A * gain).astype(np.uint8) for gain in (1, 1, 0.9, 0.7, 0.5, 0.3, 0.3, 0.3)]
    assert dissolves(faded) == []


def test_pictures_without_times_and_after_a_pause_are_not_compared() -> None:
    trace: Trace = ()
    for share in (0, 0.5, 1):
        trace, is_over = follow(trace, look_at(mixed(share)), None)
        assert (trace, is_over) == ((), False)
    trace, _ = follow((), look_at(A), 0.0)
    trace, _ = follow(trace, look_at(mixed(0.5)), 0.5)
    trace, is_over = follow(trace, look_at(B), 60.0)
    assert (len(trace), is_over) == (1, False)
    trace, is_over = follow(trace, look_at(B), 1.0)
    assert (len(trace), is_over) == (1, False)
