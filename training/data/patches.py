"""Paste a rectangle of one clip onto another (CutMix, Yun et al. 2019)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Pair = tuple[NDArray[np.uint8], NDArray[np.uint8]]
"""A picture (h, w, 3) and its label (h, w)."""

Patch = tuple[slice, slice]
"""The rows and columns of a rectangle."""


def draw_patch(crop: tuple[int, int], share: float, rng: np.random.Generator) -> Patch | None:
    """Draw a rectangle of an eighth to a half of ``crop`` (height, width).

    With probability 1 - ``share`` return None.
    """
    if rng.uniform() >= share:
        return None
    area, lean = rng.uniform(0.125, 0.5), np.exp(rng.uniform(-0.5, 0.5))
    height = min(crop[0], round(crop[0] * float(np.sqrt(area) * lean)))
    width = min(crop[1], round(crop[1] * float(np.sqrt(area) / lean)))
    top = int(rng.integers(crop[0] - height + 1))
    left = int(rng.integers(crop[1] - width + 1))
    return slice(top, top + height), slice(left, left + width)


def paste(onto: Pair, other: Pair, patch: Patch | None) -> Pair:
    """Return picture and label with the patch replaced by that of ``other``; unchanged if None."""
    if patch is None:
        return onto
    image, label = onto[0].copy(), onto[1].copy()
    image[patch], label[patch] = other[0][patch], other[1][patch]
    return image, label
