"""Tiny videos of moving bars, made on demand."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
from numpy.typing import NDArray


def make_clip(
    path: Path,
    frames: int = 12,
    size: tuple[int, int] = (64, 48),
    ticks: Sequence[int] | None = None,
    turn: int = 0,
    keys: int = 250,
) -> Path:
    """Write a video and return its path.

    Its container follows from the path's suffix; ``ticks`` are the pictures' times in ms; ``turn``
    is how many degrees clockwise it is turned when displayed; ``keys`` is the largest distance of
    key frames, in frames.
    """
    width, height = size
    with av.open(path, "w") as container:
        options = {"crf": "10", "g": str(keys)}
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = Fraction(1, 1000)
        if turn:
            stream.set_display_rotation(-turn)
        for number in range(frames):
            picture = av.VideoFrame.from_ndarray(_picture(number, height, width), format="rgb24")
            picture.pts = ticks[number] if ticks else number * 40
            picture.time_base = Fraction(1, 1000)
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
    return path


def _picture(number: int, height: int, width: int) -> NDArray[np.uint8]:
    """Another one for each number: bars that move."""
    rows, columns = np.mgrid[:height, :width]
    bars = np.stack([columns * 3 + 9 * number, rows * 5, columns + rows + 20 * number], axis=-1)
    return (bars % 256).astype(np.uint8)
