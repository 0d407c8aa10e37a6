"""Clips, batches, augmentation, metrics, learning rates."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
import pytest
import torch

from training.data.augment import AugmentOptions, apply, draw
from training.data.batches import plan_epoch, steps
from training.data.datasets import (
    VOID,
    Clip,
    DataError,
    Sample,
    camvid,
    class_shares,
    read_label,
    split_clips,
)
from training.scoring.metrics import accuracy, confusion, iou, mean_iou
from training.settings import TrainSettings, learning_rate, recipe_settings


def samples(sequence: str, numbers: Sequence[int]) -> list[Sample]:
    return [Sample(Path(f"{n}.jpg"), Path(f"{n}.png"), sequence, n) for n in numbers]


def test_clips_end_where_the_sequence_changes_or_the_spacing_jumps() -> None:
    found = split_clips(samples("a", [90, 0, 30, 60, 210, 240]) + samples("b", [1, 2, 3]))
    assert [[s.number for s in clip.samples] for clip in found] == [
        [0, 30, 60, 90],
        [210, 240],
        [1, 2, 3],
    ]


@pytest.mark.data
def test_camvids_own_splits(data: Path) -> None:
    sizes = {split: sum(map(len, camvid(data / "camvid", split))) for split in ("train", "val")}
    assert sizes == {"train": 367, "val": 101}
    (dense,) = camvid(data / "camvid", "val")
    assert dense.samples[0].sequence == "0016E5"


def test_missing_folders_and_wrong_labels_are_named(tiny: Path) -> None:
    with pytest.raises(DataError, match="missing"):
        camvid(tiny / "absent", "train")
    with pytest.raises(DataError, match="splits"):
        camvid(tiny, "validation")
    clip, _ = camvid(tiny, "train")
    cv2.imwrite(str(clip.samples[0].label), np.full((4, 4), 12, np.uint8))
    with pytest.raises(DataError, match="largest is 11"):
        read_label(clip.samples[0])
    clip.samples[1].label.unlink()
    with pytest.raises(DataError, match="no label"):
        camvid(tiny, "train")


def test_an_epoch_is_a_function_of_its_seed(tiny: Path) -> None:
    clips = camvid(tiny, "train")

    def epoch(seed: int, number: int) -> list[list[tuple[int, ...]]]:
        batches = plan_epoch(clips, 2, 1, 2, seed, number)
        return [[tuple(s.number for s in w.samples) for w in batch] for batch in batches]

    assert epoch(0, 0) == epoch(0, 0)
    assert len({str(epoch(0, n)) for n in range(8)}) > 1
    for batch in epoch(3, 1):
        assert len(batch) == 2
        assert all(later - earlier == 30 for earlier, later in batch)
    strided = plan_epoch(clips, 2, 2, 1, 0, 0)
    assert all(w.samples[1].number - w.samples[0].number == 60 for (w,) in strided)


def test_one_augmentation_holds_for_a_whole_clip(tiny: Path) -> None:
    sample = camvid(tiny, "train")[0].samples[0]
    still = [Clip((sample,) * 6)]
    windows = plan_epoch(still, 3, 1, 1, 0, 0)[0]
    seen = list(steps(windows, AugmentOptions(crop=(32, 48))))
    assert [step.reset.tolist() for step in seen] == [[True], [False], [False]]
    assert all(torch.equal(seen[0].frames, step.frames) for step in seen)
    assert seen[0].frames.shape == (1, 32, 48, 3)


def test_a_still_clip_is_one_picture_seen_through_a_drifting_window(tiny: Path) -> None:
    windows = plan_epoch(camvid(tiny, "train"), 3, 1, 2, 0, 0)[0]
    options = AugmentOptions(crop=(32, 48), scale=(1.2, 1.4), still=1.0, drift=0.0)
    fixed = list(steps(windows, options))
    assert all(torch.equal(fixed[0].frames, step.frames) for step in fixed)
    assert [step.reset.tolist() for step in fixed] == [[True] * 2, [False] * 2, [False] * 2]
    drifting = list(steps(windows, replace(options, drift=0.05)))
    assert torch.equal(drifting[0].frames, fixed[0].frames)
    assert not torch.equal(drifting[1].frames, drifting[0].frames)
    again = list(steps(windows, replace(options, drift=0.05)))
    assert all(torch.equal(a.frames, b.frames) for a, b in zip(drifting, again, strict=True))


def test_what_is_outside_the_picture_is_void() -> None:
    options = AugmentOptions(crop=(64, 64), scale=(0.5, 0.5), flip=False)
    drawn = draw(options, np.random.default_rng(0))
    image, label = apply(
        np.full((40, 40, 3), 9, np.uint8), np.full((40, 40), 3, np.uint8), drawn, options.crop
    )
    assert image.shape == (64, 64, 3)
    assert set(np.unique(label)) == {3, VOID}
    assert (label == 3).sum() == 400


def test_a_flip_turns_picture_and_label_alike() -> None:
    picture = np.zeros((8, 8, 3), np.uint8)
    picture[:, :4] = 200
    label = (picture[:, :, 0] > 0).astype(np.uint8)
    options = AugmentOptions(crop=(8, 8), scale=(1, 1), colour=0)
    flips = [draw(options, np.random.default_rng(seed)) for seed in range(8)]
    turned = next(d for d in flips if d.flip)
    image, flipped = apply(picture, label, turned, options.crop)
    assert flipped[:, 4:].all() and not flipped[:, :4].any()
    assert (image[:, 4:] > image[:, :4]).all()


def test_metrics_on_a_case_done_by_hand() -> None:
    truth = np.array([[0, 0, 1, 255]], np.uint8)
    guess = np.array([[0, 1, 1, 0]], np.uint8)
    matrix = confusion(truth, guess, 3)
    assert matrix.tolist() == [[1, 1, 0], [0, 1, 0], [0, 0, 0]]
    np.testing.assert_allclose(iou(matrix), [0.5, 0.5, np.nan])
    assert mean_iou(matrix) == 0.5
    assert accuracy(matrix) == pytest.approx(2 / 3)


def test_rates_warm_up_and_fall_to_the_last() -> None:
    settings = replace(TrainSettings(), iterations=100, warm_up=10, rate=1.0, final_rate=0.1)
    rates = [learning_rate(settings, i) for i in range(101)]
    assert rates[0] == pytest.approx(0.1) and rates[9] == rates[10] == 1.0
    assert rates[100] == pytest.approx(0.1)
    assert all(a >= b for a, b in pairwise(rates[10:]))
    with pytest.raises(ValueError, match="default, paper"):
        recipe_settings("papers")


def test_class_shares_leave_void_out(tiny: Path) -> None:
    shares = class_shares(camvid(tiny, "train"), 11)
    assert shares.sum() == pytest.approx(1)
    assert shares.shape == (11,)
