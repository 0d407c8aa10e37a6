"""One damaged container, opened and read like an upload: its possible and its forbidden results."""

from __future__ import annotations

import math
from collections.abc import Callable
from enum import StrEnum
from fractions import Fraction
from itertools import islice, pairwise
from pathlib import Path

from server.errors import MastreamError
from server.frame import Frame
from server.sources.cuts import read_cuts
from server.sources.decoding import Reading, read_frames
from server.sources.opening import open_video
from server.sources.probing import VideoLimits, probe

MAX_PIXELS = 2**20
FRAMES = 3
SIZE = (24, 32)


class Outcome(StrEnum):
    """REFUSED is no container, OPENED one without a picture; DECODED gave at least one."""

    REFUSED = "refused"
    OPENED = "opened"
    DECODED = "decoded"


def opened(path: Path) -> Outcome:
    """Open a file, describe it, find its cuts and decode its first pictures.

    Raises AssertionError if a result cannot be right, and whatever is not a MastreamError with a
    sentence.
    """
    if not _succeeds(lambda: _check_description(path)) and not _succeeds(lambda: _open(path)):
        return Outcome.REFUSED
    _succeeds(lambda: _check_cuts(path))
    frames: list[Frame] = []
    _succeeds(lambda: _read(path, frames))
    _check_frames(frames)
    return Outcome.DECODED if frames else Outcome.OPENED


def _succeeds(step: Callable[[], None]) -> bool:
    try:
        step()
    except MastreamError as error:
        assert str(error)[:1].isupper() and str(error).endswith((".", "?")), repr(error)
        return False
    return True


def _open(path: Path) -> None:
    with open_video(path, max_pixels=MAX_PIXELS):
        pass


def _check_description(path: Path) -> None:
    info = probe(path, VideoLimits(max_pixels=MAX_PIXELS))
    assert 0 < info.width * info.height <= MAX_PIXELS
    assert info.rate > 0 and info.time_base > 0 and info.pixel_aspect > 0
    assert info.duration is not None and math.isfinite(info.duration) and info.duration >= 0
    assert type(info).from_dict(info.to_dict()) == info


def _check_cuts(path: Path) -> None:
    cuts = read_cuts(path, None, MAX_PIXELS)
    numbers = [key.number for key in cuts.keys]
    assert numbers == sorted(set(numbers)) and all(0 <= one < cuts.pictures for one in numbers)
    times = [key.time for key in cuts.keys]
    assert all(0 <= one < two for one, two in pairwise(times))
    assert bool(cuts.keys) == (cuts.reason is None)


def _read(path: Path, into: list[Frame]) -> None:
    height, width = SIZE
    reading = Reading(
        location=path,
        height=height,
        width=width,
        keep_original=True,
        start=None,
        max_pixels=MAX_PIXELS,
        timeout=None,
        threads=1,
    )
    into.extend(islice(read_frames(reading), FRAMES))


def _check_frames(frames: list[Frame]) -> None:
    assert [frame.seq for frame in frames] == list(range(len(frames)))
    times = [Fraction(-1) if frame.pts is None else frame.pts for frame in frames]
    assert all(time >= 0 for time in times) and all(one < two for one, two in pairwise(times))
    for frame in frames:
        assert frame.pixels.shape == (*SIZE, 3)
        assert frame.original is not None and frame.original.shape == (*frame.size, 3)
        assert frame.duration is None or frame.duration > 0
