"""Another light, another clip's rectangle: drawn, bounded, the same again."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from training.data.augment import AugmentOptions, apply, draw
from training.data.batches import Step, plan_epoch, steps
from training.data.datasets import camvid
from training.data.light import Light, draw_light, relight
from training.data.patches import draw_patch, paste

RAMP = np.repeat(np.arange(256, dtype=np.uint8).reshape(16, 16, 1), 3, axis=2)
OPTIONS = AugmentOptions(crop=(32, 48))


def batch(tiny: Path, options: AugmentOptions, length: int = 2) -> list[Step]:
    return list(steps(plan_epoch(camvid(tiny, "train"), length, 1, 2, 0, 0)[0], options))


def test_light_draws_nothing_and_changes_nothing_where_it_is_off() -> None:
    plain, lit = (
        draw(replace(OPTIONS, tone=tone), np.random.default_rng(3)) for tone in (0.0, 0.5)
    )
    assert plain.light is None
    assert lit.light is not None
    assert replace(lit, light=None) == plain


def test_gamma_and_cast_are_what_they_say() -> None:
    same = relight(RAMP, Light(gamma=1.0, cast=(1.0, 1.0, 1.0), blur=0.0))
    assert np.array_equal(same, RAMP)
    darker = relight(RAMP, Light(gamma=2.0, cast=(1.0, 0.5, 3.0), blur=0.0))
    at = (8, 0)  # grey 128: 64.25 after gamma
    assert darker[at].tolist() == [64, 32, 193]
    assert darker.max() == 255  # blue is clipped, not wrapped


def test_blur_spreads_and_keeps_the_mean() -> None:
    point = np.zeros((33, 33, 3), np.uint8)
    point[12:21, 12:21] = 200
    blurred = relight(point, Light(1.0, (1.0, 1.0, 1.0), blur=1.5))
    assert blurred[10, 16].min() > 0
    assert blurred.mean() == pytest.approx(point.mean(), rel=0.02)


def test_light_is_bounded_by_its_strength() -> None:
    rng = np.random.default_rng(0)
    lights = [draw_light(0.4, rng) for _ in range(200)]
    assert all(np.exp(-0.4) <= light.gamma <= np.exp(0.4) for light in lights)
    assert all(np.exp(-0.2) <= c <= np.exp(0.2) for light in lights for c in light.cast)
    assert 60 < sum(light.blur == 0 for light in lights) < 140
    assert max(light.blur for light in lights) <= 0.8


def test_labels_stay_under_the_pixels_they_are_of() -> None:
    """Twice as large: every label lies over all four of its picture's pixels, none half a pixel
    off."""
    label = np.arange(64, dtype=np.uint8).reshape(8, 8)
    options = AugmentOptions(crop=(16, 16), scale=(2, 2), flip=False, colour=0)
    drawn = draw(options, np.random.default_rng(0))
    _, enlarged = apply(np.zeros((8, 8, 3), np.uint8), label, drawn, options.crop)
    assert np.array_equal(enlarged, label.repeat(2, axis=0).repeat(2, axis=1))
    halved = replace(drawn, scale=0.5)
    _, shrunk = apply(np.zeros((8, 8, 3), np.uint8), label, halved, (4, 4))
    assert np.array_equal(shrunk, label[1::2, 1::2])


def test_a_patch_is_an_eighth_to_a_half_of_the_crop_and_within_it() -> None:
    rng = np.random.default_rng(0)
    patches = [draw_patch((256, 352), 0.5, rng) for _ in range(400)]
    drawn = [patch for patch in patches if patch]
    assert 160 < len(drawn) < 240
    for rows, columns in drawn:
        assert 0 <= rows.start < rows.stop <= 256
        assert 0 <= columns.start < columns.stop <= 352
        area = (rows.stop - rows.start) * (columns.stop - columns.start) / (256 * 352)
        assert 0.1 < area < 0.52


def test_picture_and_label_of_a_patch_come_together() -> None:
    rng = np.random.default_rng(0)
    one, other = (
        (rng.integers(0, 256, (8, 8, 3), np.uint8), rng.integers(0, 11, (8, 8), np.uint8))
        for _ in range(2)
    )
    image, label = paste(one, other, (slice(2, 4), slice(5, 8)))
    inside = np.zeros((8, 8), bool)
    inside[2:4, 5:8] = True
    assert np.array_equal(image, np.where(inside[..., None], other[0], one[0]))
    assert np.array_equal(label, np.where(inside, other[1], one[1]))
    assert paste(one, other, None) is one


def test_a_clip_keeps_its_patch_and_shows_its_neighbour_there(tiny: Path) -> None:
    plain = batch(tiny, OPTIONS)
    mixed = batch(tiny, replace(OPTIONS, mix=1.0))
    again = batch(tiny, replace(OPTIONS, mix=1.0))
    for before, after, twin in zip(plain, mixed, again, strict=True):
        assert torch.equal(after.frames, twin.frames)
        neighbours = before.frames.roll(1, dims=0), before.labels.roll(1, dims=0)
        changed = (after.frames != before.frames).any(dim=-1)
        assert changed.any(dim=(1, 2)).all()
        assert torch.equal(after.frames[changed], neighbours[0][changed])
        assert torch.equal(after.labels[changed], neighbours[1][changed])
    boxes = [
        (step.frames != was.frames).any(-1).any(1) for was, step in zip(plain, mixed, strict=True)
    ]
    assert torch.equal(boxes[0], boxes[1])  # the same columns at every instant
