"""The same street under another light, through another lens."""

from __future__ import annotations

from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Light:
    """Another light: v -> v ** gamma times a gain each for R, G, B; blur's sigma in pixels."""

    gamma: float
    cast: tuple[float, float, float]
    blur: float


def draw_light(strength: float, rng: np.random.Generator) -> Light:
    """Gamma up to e to the ``strength`` either way, the cast to half of that, sigma to twice."""
    red, green, blue = np.exp(rng.uniform(-strength / 2, strength / 2, 3))
    return Light(
        gamma=float(np.exp(rng.uniform(-strength, strength))),
        cast=(float(red), float(green), float(blue)),
        blur=max(0.0, float(rng.uniform(-2, 2) * strength)),
    )


def relight(image: NDArray[np.uint8], light: Light) -> NDArray[np.uint8]:
    """(h, w, 3) under another light."""
    levels = 255 * (np.arange(256) / 255) ** light.gamma
    tables = (levels[:, None] * np.array(light.cast)).clip(0, 255).round().astype(np.uint8)
    lit = cv2.LUT(np.ascontiguousarray(image), tables[:, None])
    if light.blur:
        lit = cv2.GaussianBlur(lit, (0, 0), light.blur)
    return np.asarray(lit, np.uint8)
