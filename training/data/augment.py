"""One augmentation a clip: what is drawn for its first frame holds for all of them."""

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
    """``crop`` is (height, width) of what comes out; ``scale`` bounds the jitter.

    ``colour`` bounds gain, offset and saturation. ``tone`` is the strength of another light:
    gamma, a cast of the three colours and, in half of the clips, blur.

    ``still`` is the share of clips that are made of one picture, seen through a window that
    drifts by up to ``drift`` of its size a frame: the dense video that a data set labelled at
    1 Hz does not have.

    ``mix`` is the share of clips that show a rectangle of another clip, where that had it (CutMix,
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
    """One clip's augmentation: scale, place of the crop (shares of the room), flip, colour,
    light."""

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
    """Draw once for a clip. The same generator state gives the same clip."""
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
    """The next frame's draw of a still clip: a little nearer or farther, up, down or aside."""
    zoom, down, right = rng.uniform(-options.drift, options.drift, 3)
    return replace(
        drawn,
        scale=drawn.scale * (1 + float(zoom)),
        top=float(np.clip(drawn.top + 4 * down, 0, 1)),
        left=float(np.clip(drawn.left + 4 * right, 0, 1)),
    )


def apply(image: Image, label: Image, drawn: Draw, crop: tuple[int, int]) -> tuple[Image, Image]:
    """Image (h, w, 3) and label (h, w) -> both at the crop's size; what is outside is void."""
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
    """Gain, offset and saturation, clipped to uint8."""
    pixels = image.astype(np.float32)
    grey = pixels.mean(axis=2, keepdims=True)
    pixels = (grey + (pixels - grey) * drawn.saturation) * drawn.gain + drawn.offset
    recoloured: Image = pixels.clip(0, 255).astype(np.uint8)
    return recoloured


def _pad(image: Image, label: Image, crop: tuple[int, int]) -> tuple[Image, Image]:
    bottom, right = crop[0] - label.shape[0], crop[1] - label.shape[1]
    if bottom == right == 0:
        return image, label
    room = ((0, bottom), (0, right))
    return np.pad(image, (*room, (0, 0))), np.pad(label, room, constant_values=VOID)
