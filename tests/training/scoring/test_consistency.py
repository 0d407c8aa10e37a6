"""Video consistency: frame by frame as its definition has it over whole windows."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from training.data.labels import VOID
from training.scoring.consistency import Consistency, Streaks, add_window, follow

Stack = NDArray[np.uint8]


def streamed(truth: Stack, masks: Stack, n: int) -> Consistency:
    sums, streaks = Consistency(), None
    for label, mask in zip(truth, masks, strict=True):
        streaks = follow(streaks, label, mask)
        sums = add_window(sums, streaks, n)
    return sums


def by_definition(truth: Stack, masks: Stack, n: int) -> tuple[float, float]:
    """VC_n of the definition, and what VSPW's script counts, over every window."""
    right, unchanged = [], []
    for start in range(len(truth) - n + 1):
        t, m = truth[start : start + n], masks[start : start + n]
        kept = (t == t[0]).all(axis=0)
        classes = kept & (t[0] != VOID)
        if classes.any():
            right.append((m == t).all(axis=0)[classes].mean())
        if kept.any():
            unchanged.append((m == m[0]).all(axis=0)[kept].mean())
    return float(np.mean(right)), float(np.mean(unchanged))


@pytest.mark.parametrize("n", [1, 2, 3, 5])
def test_streaks_say_what_windows_say(n: int) -> None:
    rng = np.random.default_rng(n)
    truth = rng.choice(np.array([0, 1, VOID], np.uint8), (9, 6, 7), p=[0.8, 0.1, 0.1])
    masks = rng.choice(np.array([0, 1], np.uint8), (9, 6, 7), p=[0.85, 0.15])
    sums = streamed(truth, masks, n)
    score, unchanged = by_definition(truth, masks, n)
    assert sums.score == pytest.approx(score)
    assert sums.unchanged_score == pytest.approx(unchanged)


def test_a_mask_that_stays_wrong_is_unchanged_but_not_right() -> None:
    truth = np.zeros((3, 1, 4), np.uint8)
    truth[:, 0, 3] = VOID
    masks = np.zeros((3, 1, 4), np.uint8)
    masks[:, 0, 0] = 1
    sums = streamed(truth, masks, 3)
    assert sums.score == pytest.approx(2 / 3)
    assert sums.unchanged_score == 1.0


def test_no_window_no_score() -> None:
    truth = np.full((2, 1, 1), VOID, np.uint8)
    masks = np.zeros((2, 1, 1), np.uint8)
    assert streamed(truth, masks, 3) == Consistency()
    assert Consistency().score is None and Consistency().unchanged_score is None
    # All void: nothing to be right about, though the truth never changes.
    assert streamed(truth, masks, 2).score is None
    assert streamed(truth, masks, 2).unchanged_score == 1.0


def test_a_clip_begins_without_a_past() -> None:
    label = np.zeros((1, 1), np.uint8)
    first: Streaks = follow(None, label, label)
    assert (first.right, first.truth_kept, first.mask_kept) == (1, 1, 1)
    assert follow(first, label, label + 1).right == 0
