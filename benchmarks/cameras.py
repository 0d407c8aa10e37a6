"""Real cameras for benchmarks: the tests' cameras, whose pictures show a clock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))

# mypy reads only the packages.
import clock_picture  # type: ignore[import-not-found]
from cameras import SHARED, Camera, missing  # type: ignore[import-not-found]
from http_cameras import http_camera  # type: ignore[import-not-found]


@contextmanager
def cameras_at_work(number: int, **options: Any) -> Iterator[list[str]]:
    """Run this many cameras and yield their URLs; ``options`` are ``rtsp_camera.Options``.

    They share one encoder, because the server is measured on the same machine. Each sends its
    pictures :func:`lag` seconds after they are painted.
    """
    one = Camera(SHARED, mounts=number, **options)
    try:
        yield [one.mount(mount) for mount in range(number)]
    finally:
        one.kill()


def lag(camera: int, cameras: int, rate: float) -> float:
    """Return how many seconds one of several cameras waits before it sends a picture, so that they
    do not all send at the same moment."""
    return camera / cameras / rate


@contextmanager
def mortal_camera(**options: Any) -> Iterator[Any]:
    """Run one camera and yield it; the caller may kill and start it."""
    one = Camera(**options)
    try:
        yield one
    finally:
        one.kill()


@contextmanager
def over_http() -> Iterator[str]:
    """Yield the address of a camera over HTTP, which needs no GStreamer."""
    with http_camera() as base:
        yield base


def why_none() -> str | None:
    """Return why this machine cannot run cameras, None if it can."""
    why: str | None = missing()
    return why


def read_clock(pixels: Any) -> Any:
    """Return the number and the wall clock that a picture shows; None if it is not intact."""
    return clock_picture.read(pixels)
