"""A sandboxed decoder that decodes files, but whose libraries make a call after connecting to a
camera that the filter does not know; run as a module by the tests."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator

from server.frame import Frame
from server.sources.decoding import Counts, Reading, read_frames
from server.sources.sandbox.child import run


def frames(reading: Reading, counts: Counts, left: Callable[[], bool]) -> Iterator[Frame]:
    for frame in read_frames(reading, counts, left):
        if isinstance(reading.location, str):
            os.getppid()
        yield frame


if __name__ == "__main__":
    run(frames)
    os._exit(0)
