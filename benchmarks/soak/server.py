"""The server of a soak: the real one with a fake engine that dies at one certain picture.

python -m benchmarks.soak.server FOLDER
"""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from server.commands.serve import serve
from server.engines.fake import FakeEngine, fake_spec
from server.errors import EngineDead
from server.frame import AnyPixels, host_pixels
from server.settings import LiveSettings, Settings, StreamSettings, VideoSettings

HEIGHT, WIDTH = 48, 64
DEADLY = np.full((HEIGHT, WIDTH, 3), 251, np.uint8)
"""A step with this picture kills its engine."""

OPEN_SECONDS = 10.0
"""A client on a busy machine may send ``open`` late; it must not get the defaults before."""

IDLE_SECONDS = 5.0
SLOW_SECONDS = 2.0
RESUME_SECONDS = 3.0


def die_of_the_deadly(frames: Sequence[AnyPixels]) -> None:
    if any(np.array_equal(host_pixels(frame), DEADLY) for frame in frames):
        raise EngineDead("The soak sent the picture that kills the engine.")


def make_engine() -> FakeEngine:
    return FakeEngine(fake_spec(HEIGHT, WIDTH), on_step=die_of_the_deadly)


def main() -> None:
    settings = Settings(
        port=0,
        folder=Path(sys.argv[1]),
        streams=StreamSettings(
            open_seconds=OPEN_SECONDS,
            idle_seconds=IDLE_SECONDS,
            slow_seconds=SLOW_SECONDS,
            resume_seconds=RESUME_SECONDS,
        ),
        videos=VideoSettings(min_free_bytes=0),
        live=LiveSettings(
            connect_seconds=5.0, stall_seconds=1.0, backoff_seconds=0.1, longest_backoff_seconds=1.0
        ),
    )
    sys.exit(serve(settings, make_engine))


if __name__ == "__main__":
    main()
