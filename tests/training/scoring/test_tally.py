"""Counts that grow frame by frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from training.data.clips import Sample
from training.data.labels import VOID
from training.scoring.passes import Answer, Mode, Shot
from training.scoring.tally import Judged, Tally, add

SAMPLE = Sample(Path(), Path(), "a", 0)


def shot(
    truth: list[int],
    mask: list[int],
    *,
    index: int = 0,
    dense: bool = False,
    judge: float | None = None,
) -> Shot:
    label, said = np.array([truth], np.uint8), np.array([mask], np.uint8)
    answer = Answer(said, {} if judge is None else {4: judge})
    return Shot(SAMPLE, index, dense, np.zeros((1, 1, 3), np.uint8), label, {Mode.WITH: answer})


def counted(*shots: Shot) -> Tally:
    tally = Tally.empty(3)
    for one in shots:
        tally = add(tally, one, Mode.WITH)
    return tally


def test_pixels_add_up_and_images_are_averaged() -> None:
    tally = counted(
        shot([0, 0, 1, VOID], [0, 1, 1, 0]),
        shot([2, 2, 2, 2], [2, 2, 2, 2]),
        shot([VOID] * 4, [0] * 4),
    )
    assert tally.matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 4]]
    assert (tally.frames, tally.images) == (3, 2)
    assert tally.image_miou / tally.images == pytest.approx((0.5 + 1) / 2)


def test_the_judge_is_counted_where_it_spoke() -> None:
    tally = counted(shot([0], [0]), shot([0], [0], judge=0.05), shot([0], [0], judge=0.2))
    assert tally.judged == {4: Judged(2, 0.25, 0.05, 0.2, accepted=1)}
    assert tally.judged[4].mean == 0.125


def test_consistency_is_counted_on_dense_clips_and_begins_anew_with_each() -> None:
    def clip(frames: int, dense: bool) -> list[Shot]:
        return [shot([0, 1], [0, 0], index=n, dense=dense) for n in range(frames)]

    once = counted(*clip(9, True))
    assert once.consistency[8].windows == 2 and once.consistency[8].score == 0.5
    assert once.consistency[16].windows == 0
    assert counted(*clip(9, True), *clip(7, True)).consistency == once.consistency
    assert counted(*clip(9, False)).consistency[8].windows == 0
