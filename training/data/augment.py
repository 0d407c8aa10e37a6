"""Augment clips. Each clip has one augmentation, which applies to all its frames."""

from __future__ import annotations

from dataclasses import dataclass, replace

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.datasets import VOID
from training.data.light import Light, draw_light, relight

Image = NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class AugmentOptions:
    """Options of the augmentation.

    ``crop`` is the (height, width) of the result in pixels; ``scale`` bounds the scale jitter.
    ``colour`` bounds gain, offset and saturation. ``tone`` is the strength of changes in lighting:
    gamma, a colour cast and, in half of the clips, blur.

    ``still`` is the share of clips that are made from a single picture, seen through a window that
    drifts by up to ``drift`` of its size per frame. They replace the dense video that a dataset
    labelled at 1 Hz lacks.

    ``mix`` is the share of clips in which a rectangle shows the same place of another clip (CutMix,
    Yun et al. 2019).
    """

    crop: tuple[int, int] = (256, 352)
    scale: tuple[float, float] = (0.6, 1.4)
    flip: bool = True
    colour: float = 0.3
    still: float = 0.0
    drift: float = 0.02
    tone: float = 0.0
    mix: float = 0.0


@dataclass(frozen=True, slots=True)
class Draw:
    """The augmentation of one clip: scale, position of the crop, flip, colour and light.

    ``top`` and ``left`` are shares, 0..1, of the margin around the crop; ``offset`` is in grey
    levels.
    """

    scale: float
    top: float
    left: float
    flip: bool
    gain: float
    offset: float
    saturation: float
    still: bool = False
    light: Light | None = None


def draw(options: AugmentOptions, rng: np.random.Generator) -> Draw:
    """Draw the augmentation of a clip; it depends only on the options and the generator's state."""
    low, high = np.log(options.scale[0]), np.log(options.scale[1])
    c = options.colour
    return Draw(
        scale=float(np.exp(rng.uniform(low, high))),
        top=float(rng.uniform()),
        left=float(rng.uniform()),
        flip=bool(rng.uniform() < 0.5) and options.flip,
        gain=float(rng.uniform(1 - c, 1 + c)),
        offset=float(rng.uniform(-c, c) * 64),
        saturation=float(rng.uniform(1 - c, 1 + c)),
        still=bool(rng.uniform() < options.still),
        light=draw_light(options.tone, rng) if options.tone else None,
    )


def drifted(drawn: Draw, options: AugmentOptions, rng: np.random.Generator) -> Draw:
    """Return the draw of a still clip's next frame, slightly scaled and moved."""
    zoom, down, right = rng.uniform(-options.drift, options.drift, 3)
    return replace(
        drawn,
        scale=drawn.scale * (1 + float(zoom)),
        top=float(np.clip(drawn.top + 4 * down, 0, 1)),
        left=float(np.clip(drawn.left + 4 * right, 0, 1)),
    )


def apply(image: Image, label: Image, drawn: Draw, crop: tuple[int, int]) -> tuple[Image, Image]:
    """Augment an image (h, w, 3) and its label (h, w); return both at the size of the crop.

    Pixels outside the image are black and labelled void.
    """
    height, width = (round(n * drawn.scale) for n in label.shape)
    image = cv2.resize(image, (width, height), interpolation=cv2.INTER_LINEAR)  # type: ignore[assignment]
    label = cv2.resize(label, (width, height), interpolation=cv2.INTER_NEAREST_EXACT)  # type: ignore[assignment]
    top = round(max(0, height - crop[0]) * drawn.top)
    left = round(max(0, width - crop[1]) * drawn.left)
    window = np.s_[top : top + crop[0], left : left + crop[1]]
    image, label = _pad(image[window], label[window], crop)
    if drawn.flip:
        image, label = image[:, ::-1], label[:, ::-1]
    if drawn.light:
        image = relight(image, drawn.light)
    return recolour(image, drawn), np.ascontiguousarray(label)


def recolour(image: Image, drawn: Draw) -> Image:
    """Apply gain, offset and saturation to an image (h, w, 3); clip to uint8."""
    pixels = image.astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = (grey + (pixels - grey) * drawn.saturation) * drawn.gain + drawn.offset
    recoloured: Image = pixels.clip(0, 255).astype(np.uint8)
    return recoloured


def _pad(image: Image, label: Image, crop: tuple[int, int]) -> tuple[Image, Image]:
    bottom, right = crop[0] - label.shape[0], crop[1] - label.shape[1]
    if bottom == right == 0:
        return image, label
    margin = ((0, bottom), (0, right))
    return np.pad(image, (*margin, (0, 0))), np.pad(label, margin, constant_values=VOID)
