"""The distance between two pictures of a stream, in what they show rather than in their pixels.

Three measures are combined, since each fails elsewhere:

* The layout of brightness, in blocks, without its mean and contrast. Exposure does not change it,
  and movement by less than a block changes it little. Panning and zooming do change it.
* The peak of the phase correlation (Kuglin and Hines, 1975): how much of one picture is in the
  other, shifted as a whole. Panning, shaking and exposure leave it high.
* The histogram of colours. Motion does not change it. Exposure does, so it counts at most as much
  as the layout.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import TypeAlias

import cv2
import numpy as np
from numpy.typing import NDArray

from server.frame import Pixels

Floats: TypeAlias = NDArray[np.float32]

SAMPLES = (88, 120)
"""Minimum rows and columns of pixels that are examined, if the picture has as many."""

BLOCK = 4
"""The side of a block of the layout, in samples."""

FLAT = 4
"""In levels. If blocks deviate less, they show nothing but noise."""

BLACK, WHITE = 32, 224
"""In levels. A flat picture that is darker or lighter may belong to any scene."""

FLAT_STEP = 64
"""Levels of red, green or blue that make two flat pictures differ about as two scenes do."""

SHARED = 0.35
"""Peak of the phase correlation beyond which two pictures are of one scene. On real clips, those of
different scenes stay below 0.28, and 99 % of them below 0.18."""

RELIT = 20
"""Minimum change of the mean, in levels, if only the light has changed."""

CHANGED = 6
"""Minimum change of a block, in levels, if it shows something else."""

SMALL_PART = 0.15
"""Share of the blocks that an object in front of a scene may change."""

LUMA = np.array([[77 / 256, 150 / 256, 29 / 256]], np.float32)


@dataclass(frozen=True, eq=False)
class Look:
    """The properties of one picture that are compared.

    ``samples`` are some of its pixels, ``grey`` is their brightness and ``blocks`` that of each
    block, in levels; ``contrast`` is how far the blocks deviate. The rest is computed when it is
    needed, which is rare.
    """

    samples: Pixels
    grey: Floats
    blocks: Floats
    contrast: float

    @cached_property
    def spectrum(self) -> NDArray[np.complex64]:
        """Return the phases of the spectrum."""
        return _phases(self.grey)

    @property
    def is_flat(self) -> bool:
        """Return whether it shows no structure."""
        return self.contrast < FLAT

    @property
    def is_blank(self) -> bool:
        """Return whether it is all black or all white, and so may belong to any scene."""
        return self.is_flat and not BLACK < self.blocks.mean() < WHITE

    @cached_property
    def layout(self) -> Floats:
        """Return the blocks without mean and contrast."""
        return _without_light(self.blocks)

    @cached_property
    def low(self) -> Floats:
        """Return the minimum of the layout over each inner block and its eight neighbours."""
        return _among_neighbours(self.layout, np.minimum)

    @cached_property
    def high(self) -> Floats:
        """Return the maximum of the layout over each inner block and its eight neighbours."""
        return _among_neighbours(self.layout, np.maximum)

    @cached_property
    def colours(self) -> Floats:
        """Return the shares of 64 colours."""
        return _shares(self.samples)

    @cached_property
    def mean(self) -> NDArray[np.float64]:
        """Return the mean levels of red, green and blue."""
        return np.array(cv2.mean(self.samples)[:3])


def look_at(pixels: Pixels) -> Look:
    """Return the properties of (H, W, 3) pixels, at least 12 x 12."""
    samples = _sample(pixels)
    grey: Floats = cv2.transform(samples.astype(np.float32), LUMA)  # type: ignore[assignment]
    blocks = _shrink(grey, BLOCK)
    return Look(samples, grey, blocks, float(cv2.meanStdDev(blocks)[1][0, 0]))


def is_much_the_same(one: Look, other: Look) -> bool:
    """Return whether only a small part of the picture has changed, as no cut does."""
    changed = cv2.absdiff(one.blocks, other.blocks) > CHANGED
    return bool(np.count_nonzero(changed) <= SMALL_PART * changed.size)


def distance(one: Look, other: Look) -> float:
    """Return how far two pictures of the same size are apart, from -1 (the same) to about 3.

    On real clips, pictures of one scene stay below 0 at 25 pictures per second and below 0.15 at 5
    per second. Pictures of different scenes begin at 0.17; half of them are beyond 1.3.
    """
    if one.is_flat and other.is_flat:
        return float(np.abs(one.mean - other.mean).max()) / FLAT_STEP - 1
    shared = _shared(one, other)
    if shared > SHARED:
        return -shared
    layout = _beyond(one.layout, other.low, other.high)
    layout += _beyond(other.layout, one.low, one.high)
    if _is_relit(one, other):
        layout = min(layout, _relit(one, other), _relit(other, one))
    colours = float(np.abs(one.colours - other.colours).sum()) / 2
    return layout + min(colours, layout) - shared


def is_brighter(one: Look, other: Look) -> bool:
    """Return whether the second is much brighter, and hardly darker anywhere."""
    change = other.blocks - one.blocks
    return bool(change.mean() >= RELIT and (change > -FLAT).mean() >= 0.9)


def _is_relit(one: Look, other: Look) -> bool:
    """Return whether only the light may have changed."""
    return is_brighter(one, other) or is_brighter(other, one)


def _relit(one: Look, other: Look) -> float:
    """Return the distance of the layouts after each block of one has been given the level with the
    same rank in the other, so that levels that have reached white or black do no harm."""
    levels = np.empty_like(one.blocks)
    levels.flat[np.argsort(one.blocks, axis=None)] = np.sort(other.blocks, axis=None)
    layout = _without_light(levels)
    low, high = _among_neighbours(layout, np.minimum), _among_neighbours(layout, np.maximum)
    return _beyond(layout, other.low, other.high) + _beyond(other.layout, low, high)


def _sample(pixels: Pixels) -> Pixels:
    """Take evenly spaced pixels, in whole blocks."""
    steps = [max(1, side // least) for side, least in zip(pixels.shape, SAMPLES, strict=False)]
    height, width = (
        side // step // BLOCK * BLOCK for side, step in zip(pixels.shape, steps, strict=False)
    )
    assert min(height, width) >= 3 * BLOCK
    whole = pixels[: height * steps[0], : width * steps[1]]
    # The pixel in the middle of each step; several times faster than a slice with steps.
    how = cv2.INTER_NEAREST_EXACT
    return np.asarray(cv2.resize(whole, (width, height), interpolation=how), np.uint8)


def _shrink(grey: Floats, times: int) -> Floats:
    """Return the means of squares with this many pixels per side."""
    size = grey.shape[1] // times, grey.shape[0] // times
    return np.asarray(cv2.resize(grey, size, interpolation=cv2.INTER_AREA), np.float32)


def _without_light(blocks: Floats) -> Floats:
    """Remove mean and contrast. A constant added to the contrast keeps the noise of a picture with
    little contrast from being amplified."""
    layout: Floats = ((blocks - blocks.mean()) / (blocks.std() + FLAT)).astype(np.float32)
    return layout


def _among_neighbours(layout: Floats, extreme: np.ufunc) -> Floats:
    rows = extreme(extreme(layout[:-2], layout[1:-1]), layout[2:])
    found: Floats = extreme(extreme(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return found


def _phases(grey: Floats) -> NDArray[np.complex64]:
    """Return the phases of the spectrum of the picture at half size, its edges faded out."""
    half = _shrink(grey, 2)
    faded = (half - half.mean()) * _window(*half.shape)
    # OpenCV's transform takes a third of the time of NumPy's at this size.
    spectrum = cv2.dft(faded, flags=cv2.DFT_COMPLEX_OUTPUT).view(np.complex64)[..., 0]
    phases: NDArray[np.complex64] = spectrum / (np.abs(spectrum) + np.float32(1e-3))
    return phases


@lru_cache(maxsize=16)
def _window(height: int, width: int) -> Floats:
    return np.outer(np.hanning(height), np.hanning(width)).astype(np.float32)


def _shares(samples: Pixels) -> Floats:
    """Return the shares of 64 colours: the upper two bits of red, green and blue."""
    upper = samples & np.uint8(0xC0)
    index = upper[..., 0] >> 2 | upper[..., 1] >> 4 | upper[..., 2] >> 6
    counts = np.bincount(index.ravel(), minlength=64)
    return (counts / index.size).astype(np.float32)


def _beyond(layout: Floats, low: Floats, high: Floats) -> float:
    """Return by how much blocks are outside the range of another picture around them."""
    inner = layout[1:-1, 1:-1]
    return float(np.maximum(np.maximum(low - inner, inner - high), 0).mean())


def _shared(one: Look, other: Look) -> float:
    """Return the peak of the phase correlation, 0 to 1."""
    product = one.spectrum * other.spectrum.conj()
    parts = product.view(np.float32).reshape(*product.shape, 2)
    return float(cv2.idft(parts, flags=cv2.DFT_SCALE | cv2.DFT_REAL_OUTPUT).max())
