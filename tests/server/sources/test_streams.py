"""The stream that players show is the one that is segmented."""

from __future__ import annotations

from fractions import Fraction
from itertools import permutations
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import av
import pytest
from av.container import InputContainer
from av.stream import Disposition
from av.video.frame import VideoFrame
from PIL import Image

from server.errors import BadVideo
from server.sources.decoding import Reading, read_frames
from server.sources.probing import VideoLimits, probe
from server.sources.streams import Candidate, candidates, choose

COVER, SMALL, LARGE = (640, 480, 1), (32, 32, 6), (64, 48, 6)
"""Width, height and number of pictures of a stream."""


@pytest.mark.parametrize(
    ("better", "worse"),
    [
        (Candidate(1, False, 100, 30), Candidate(0, True, 9999, 1)),
        (Candidate(1, True, 100, 30), Candidate(0, False, 9999, 30)),
        (Candidate(1, False, 200, 30), Candidate(0, False, 100, 60)),
        (Candidate(1, False, 100, 60), Candidate(0, False, 100, 30)),
        (Candidate(0, False, 100, 30), Candidate(1, False, 100, 30)),
        (Candidate(1, True, 100, 1), Candidate(0, False, 100, 1)),
    ],
)
def test_pictures_then_the_default_then_pixels(better: Candidate, worse: Candidate) -> None:
    assert {choose(order) for order in permutations([better, worse])} == {better.index}


def write(path: Path, *streams: tuple[int, int, int], default: int | None = None) -> Path:
    """A file of several MPEG-4 or (single pictures) MJPEG streams."""
    with av.open(path, "w") as container:
        made = []
        for index, (width, height, count) in enumerate(streams):
            one = container.add_stream("mjpeg" if count == 1 else "mpeg4", rate=25)
            one.width, one.height = width, height
            one.pix_fmt = "yuvj420p" if count == 1 else "yuv420p"
            one.disposition = Disposition.default if index == default else Disposition(0)
            made.append(one)
        for one, (width, height, count) in zip(made, streams, strict=True):
            for index in range(count):
                frame = VideoFrame(width, height, one.pix_fmt)
                frame.pts, frame.time_base = index, Fraction(1, 25)
                container.mux(one.encode(frame))
            container.mux(one.encode(None))
    return path


def seen(path: Path) -> tuple[int, int, int]:
    """Width, height and pictures: what probing reports, which decoding must find too."""
    info = probe(path, VideoLimits())
    frames = list(read_frames(Reading(path, 24, 32, False, None, 10**7, None, 1)))
    assert {frame.size for frame in frames} == {(info.height, info.width)}
    return info.width, info.height, len(frames)


@pytest.mark.parametrize("name", ["a.mkv", "a.mp4", "a.mov", "a.avi", "a.nut"])
@pytest.mark.parametrize(
    ("streams", "default"),
    [
        ((COVER, LARGE), 1),
        ((COVER, LARGE), 0),
        ((LARGE, COVER), 1),
        ((COVER, LARGE), None),
        ((LARGE, SMALL), None),
    ],
)
def test_a_file_of_several_streams(
    tmp_path: Path, name: str, streams: tuple[tuple[int, int, int], ...], default: int | None
) -> None:
    assert seen(write(tmp_path / name, *streams, default=default)) == LARGE


@pytest.mark.parametrize("name", ["a.mkv", "a.avi"])
def test_the_largest_stream_if_none_is_the_default(tmp_path: Path, name: str) -> None:
    assert seen(write(tmp_path / name, SMALL, LARGE)) == LARGE


def test_the_default_stream_comes_before_a_larger_one(tmp_path: Path) -> None:
    assert seen(write(tmp_path / "a.mkv", LARGE, SMALL, default=1)) == SMALL


def test_an_animated_avif_gives_all_pictures(tmp_path: Path) -> None:
    path = tmp_path / "a.avif"
    first, *others = [Image.new("RGB", (64, 48), colour) for colour in ("red", "lime", "blue")]
    first.save(path, save_all=True, append_images=others, duration=[100, 200, 300])
    assert seen(path) == (64, 48, 3)


def opened(*dispositions: Disposition) -> InputContainer:
    """A container of streams that differ in their dispositions only."""
    video = [SimpleNamespace(disposition=one, codec_context=object()) for one in dispositions]
    streams: Any = SimpleNamespace(video=video)
    return cast(InputContainer, SimpleNamespace(streams=streams))


def test_a_grid_of_tiles_is_refused() -> None:
    tile, plain = Disposition.dependent, Disposition(0)
    for thumbnail in ((), (plain,)):
        with pytest.raises(BadVideo, match="grid of tiles"):
            candidates(opened(tile, tile, *thumbnail))
    with_base = opened(Disposition.default, tile)
    assert candidates(with_base) == [with_base.streams.video[0]]


def test_an_attached_picture_is_no_video() -> None:
    with pytest.raises(BadVideo, match="no video stream"):
        candidates(opened(Disposition.attached_pic))
