"""What memory changed, and which frames it changed most."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from training.data.clips import Sample
from training.data.labels import VOID
from training.scoring.changes import Extremes, compare
from training.scoring.passes import Answer, Mode, Shot


def shot(number: int, truth: list[int], remembering: list[int], without: list[int]) -> Shot:
    def row(values: list[int]) -> np.ndarray:
        return np.array([values], np.uint8)

    answers = {Mode.WITH: Answer(row(remembering), {}), Mode.OFF: Answer(row(without), {})}
    image = np.zeros((1, len(truth), 3), np.uint8)
    return Shot(Sample(Path(), Path(), "a", number), 0, False, image, row(truth), answers)


def test_pixels_become_right_or_wrong_or_are_wrong_otherwise() -> None:
    #                        same right wrong other void
    change = compare(shot(0, [0, 0, 0, 0, VOID], [0, 0, 1, 2, 1], [0, 1, 0, 1, 0]))
    assert change.became_right.tolist() == [[False, True, False, False, False]]
    assert change.became_wrong.tolist() == [[False, False, True, False, False]]
    assert change.still_wrong.tolist() == [[False, False, False, True, False]]
    assert change.right == change.wrong == 0.25 and change.balance == 0


def test_void_alone_changes_nothing() -> None:
    assert compare(shot(0, [VOID], [1], [0])).balance == 0


def test_the_most_helped_and_the_most_hurt_stay() -> None:
    truth = [0] * 8
    extremes = Extremes()
    for number, balance in enumerate([1, -3, 0, 4, 2, -5, 3, -1]):
        better, worse = [0] * 8, [1] * abs(balance) + [0] * (8 - abs(balance))
        masks = (better, worse) if balance > 0 else (worse, better)
        extremes = extremes.with_one_more(compare(shot(number, truth, *masks)), 2)
    assert [c.shot.sample.number for c in extremes.helped] == [3, 6]
    assert [c.shot.sample.number for c in extremes.hurt] == [5, 1]
