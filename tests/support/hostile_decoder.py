"""A sandboxed decoder that misbehaves as the video's name, or the user in the camera's URL, says.

The tests run it as a module.
"""

from __future__ import annotations

import ctypes
import os
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from urllib.parse import urlsplit

import numpy as np

from server.frame import Frame
from server.sources.decoding import Counts, Reading, read_frames
from server.sources.open_file import OpenFile
from server.sources.sandbox.child import run
from tests.support.hostile_tricks import TRICKS


def _misbehave(what: str, frame: Frame) -> Frame:
    match what:
        case "die":
            ctypes.string_at(0)
        case "memory":
            np.ones(2**34, np.uint8)
        case "hang":
            time.sleep(3600)
        case "size":
            return replace(frame, pixels=np.zeros((1, 2, 3), np.uint8))
        case "nonsense":
            os.write(sys.stdin.fileno(), b'{"slot": "one", "counts": []}\n')
        case "deep":
            os.write(sys.stdin.fileno(), b"[" * 60_000 + b"\n")
        case "signs":
            while True:
                os.write(sys.stdin.fileno(), b'{"alive": true}\n' * 100)
        case "flood":
            os.write(sys.stdin.fileno(), b"1" * 2**18)
        case _:
            TRICKS.get(what, bool)()
    return frame


def frames(reading: Reading, counts: Counts, left: Callable[[], bool]) -> Iterator[Frame]:
    for frame in read_frames(reading, counts, left):
        yield _misbehave(_what(reading.location), frame)


def _what(location: Path | OpenFile | str) -> str:
    assert not isinstance(location, Path)
    if isinstance(location, OpenFile):
        return Path(location.open().name).stem
    return urlsplit(location).username or ""


if __name__ == "__main__":
    run(frames)
    os._exit(0)
