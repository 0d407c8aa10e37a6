"""Videos for benchmarks of jobs."""

from __future__ import annotations

from pathlib import Path

import av
import cv2
import numpy as np


def write_clip(path: Path, frames: int, group: int, size: tuple[int, int] = (640, 360)) -> Path:
    """Write an H.264 video (width, height) with a key frame every ``group`` frames; return its
    path."""
    width, height = size
    small = np.random.default_rng(0).integers(0, 256, (height // 8, 2 * width // 8, 3), np.uint8)
    wide = np.asarray(cv2.resize(small, (2 * width, height)), np.uint8)
    options = {"g": str(group), "keyint_min": str(group), "sc_threshold": "0", "preset": "fast"}
    with av.open(path, "w") as container:
        stream = container.add_stream("libx264", rate=25, options=options)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        for number in range(frames):
            left = 4 * number % width
            picture = np.ascontiguousarray(wide[:, left : left + width])
            container.mux(stream.encode(av.VideoFrame.from_ndarray(picture, format="rgb24")))
        container.mux(stream.encode(None))
    return path
