"""Real cameras for benchmarks: those of the tests, whose pictures show a clock."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

sys.path.append(str(Path(__file__).resolve().parent.parent / "tests" / "support"))

# mypy reads the packages alone.
import clock_picture  # type: ignore[import-not-found]
from cameras import Camera  # type: ignore[import-not-found]


@contextmanager
def camera(**options: Any) -> Iterator[list[str]]:
    """Run a camera and yield the URLs of its mounts; ``options`` are ``rtsp_camera.Options``."""
    one = Camera(**options)
    try:
        yield [one.mount(number) for number in range(options.get("mounts", 1))]
    finally:
        one.kill()


def read_clock(pixels: Any) -> Any:
    """Return the number and the wall clock that a picture shows; None if it is not intact."""
    return clock_picture.read(pixels)
