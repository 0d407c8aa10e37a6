"""A file that Chromium's fake camera plays: pictures of clock_picture, with their numbers."""

from __future__ import annotations

from pathlib import Path

import clock_picture


def write_film(
    path: Path, count: int = 60, size: tuple[int, int] = (320, 180), fps: int = 10
) -> Path:
    """Write ``count`` pictures, numbered from 0, as Y4M; the camera begins again after the last."""
    width, height = size
    with path.open("wb") as file:
        file.write(f"YUV4MPEG2 W{width} H{height} F{fps}:1 Ip A1:1 C420jpeg\n".encode())
        for number in range(count):
            file.write(b"FRAME\n" + clock_picture.paint(number, 0, width, height))
    return path
