"""Change the lighting of a picture: gamma, colour cast and blur."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Light:
    """A change of lighting: v -> v ** gamma, with v in 0..1, times a gain for each of R, G and B.

    ``blur`` is the Gaussian's sigma in pixels, 0 for none.
    """

    gamma: float
    cast: tuple[float, float, float]
    blur: float


def draw_light(strength: float, rng: np.random.Generator) -> Light:
    """Draw a change of lighting.

    |log gamma| is at most ``strength``, |log gain| at most half of it, sigma at most twice it.
    """
    red, green, blue = np.exp(rng.uniform(-strength / 2, strength / 2, 3))
    return Light(
        gamma=float(np.exp(rng.uniform(-strength, strength))),
        cast=(float(red), float(green), float(blue)),
        blur=max(0.0, float(rng.uniform(-2, 2) * strength)),
    )


def relight(image: NDArray[np.uint8], light: Light) -> NDArray[np.uint8]:
    """Apply a change of lighting to uint8 RGB (h, w, 3)."""
    levels = 255 * (np.arange(256) / 255) ** light.gamma
    tables = (levels[:, None] * np.array(light.cast)).clip(0, 255).round().astype(np.uint8)
    lit = cv2.LUT(np.ascontiguousarray(image), tables[:, None])
    if light.blur:
        lit = cv2.GaussianBlur(lit, (0, 0), light.blur)
    return np.asarray(lit, np.uint8)
