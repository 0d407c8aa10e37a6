"""A video whose pictures carry their number, readable through an overlay and after compression."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from numpy.typing import NDArray

WIDTH, HEIGHT, RATE = 640, 360, 25
BITS, SIDE = 7, 40
"""The number is painted twice, in the left and the right half, as a row of BITS squares of SIDE
pixels: white is 1."""

Picture = NDArray[np.uint8]


def numbered_clip(path: Path, frames: int = 75, *, times: list[int] | None = None) -> Path:
    """Write an H.264 video; ``times`` are the pictures' in 1/RATE seconds, if not 0, 1, 2..."""
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264", rate=RATE, options={"crf": "23"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, "yuv420p"
        for number in range(frames):
            frame = av.VideoFrame.from_ndarray(numbered(number), "rgb24")
            frame.pts = number if times is None else times[number]
            frame.time_base = Fraction(1, RATE)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def numbered(number: int) -> Picture:
    """A street-like scene in motion, with its number."""
    picture = np.full((HEIGHT, WIDTH, 3), (148, 178, 205), np.uint8)
    picture[200:] = (92, 92, 96)
    for index in range(6):
        left = index * 130 - (3 * number) % 130
        cv2.rectangle(picture, (left, 60 + 13 * (index % 3)), (left + 90, 200), (150, 120, 100), -1)
    cv2.circle(picture, ((number * 8) % WIDTH, 260), 40, (190, 60, 50), -1)
    for half in range(2):
        for bit in range(BITS):
            left, top = _corner(half, bit)
            value = 255 if number >> bit & 1 else 0
            picture[top : top + SIDE, left : left + SIDE] = value
    return picture


def middles(half: int) -> list[tuple[float, float]]:
    """Where the squares of a half are, as parts of width and height, the lowest bit first."""
    corners = (_corner(half, bit) for bit in range(BITS))
    return [((x + SIDE / 2) / WIDTH, (y + SIDE / 2) / HEIGHT) for x, y in corners]


def _corner(half: int, bit: int) -> tuple[int, int]:
    return half * WIDTH // 2 + 20 + bit * SIDE, HEIGHT - SIDE - 10
