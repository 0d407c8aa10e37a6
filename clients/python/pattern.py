"""Synthetic footage: a moving pattern, the same on every machine."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from clients.python.pictures import encode_picture
from protocol import InputEncoding


def moving_pattern(height: int, width: int, index: int) -> NDArray[np.uint8]:
    """Return picture ``index``, (height, width, 3) RGB: soft stripes and a moving disc."""
    rows, columns = np.ogrid[:height, :width]
    stripes = 127 + 90 * np.sin((columns + 4 * index) / 17) * np.cos((rows - 3 * index) / 23)
    picture = np.stack([stripes, np.roll(stripes, 11, 1), np.roll(stripes, 29, 0)], axis=2)
    across, down = (7 * index) % width, (5 * index) % height
    disc = (columns - across) ** 2 + (rows - down) ** 2 < (min(height, width) / 6) ** 2
    picture[disc] = (230, 60, 40)
    return picture.astype(np.uint8)


def pattern_pictures(height: int, width: int, count: int) -> list[bytes]:
    """Return the first ``count`` pictures as JPEG."""
    pictures = (moving_pattern(height, width, index) for index in range(count))
    return [encode_picture(picture, InputEncoding.JPEG) for picture in pictures]
