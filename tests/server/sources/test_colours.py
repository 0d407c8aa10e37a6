"""Colours as screens show them, HDR and odd matrices too."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, ColorTrc, VideoReformatter
from numpy.typing import NDArray

from server.errors import BadVideo
from server.sources.colours import to_rgb
from server.sources.decoding import Reading, read_frames
from server.sources.nvdec import open_fake
from server.sources.probing import VideoLimits, probe

BT2020 = 9
HEIGHT, WIDTH = 32, 64
REFORMATTER = VideoReformatter()
"""Shared: swscale takes two seconds for the table of each pair of colours."""


def pq(nits: float) -> float:
    """SMPTE ST 2084, from cd/m2 to a signal of 0..1."""
    power = (nits / 10_000) ** (2610 / 16384)
    return float(((3424 + 18.8515625 * 4096 * power) / (4096 + 18.6875 * 4096 * power)) ** 78.84375)


def grey(signal: float, trc: int, matrix: int = BT2020) -> VideoFrame:
    """A 10-bit picture of one grey, in limited range."""
    frame = VideoFrame(WIDTH, HEIGHT, "yuv420p10le")
    for plane, level in zip(frame.planes, (64 + 876 * signal, 512, 512), strict=True):
        plane.update(np.full(plane.buffer_size // 2, round(level), np.uint16).tobytes())
    frame.colorspace, frame.color_range = matrix, ColorRange.MPEG
    frame.color_trc = trc
    frame.color_primaries = ColorPrimaries.BT2020
    return frame


def level(frame: VideoFrame) -> int:
    rgb = to_rgb(frame, REFORMATTER)
    assert int(np.ptp(rgb)) <= 2
    return round(float(rgb.mean()))


def film(path: Path, frame: VideoFrame, frames: int = 2) -> Path:
    with av.open(path, "w") as container:
        stream = container.add_stream("ffv1", rate=25, options={"level": "3"})
        stream.width, stream.height, stream.pix_fmt = WIDTH, HEIGHT, frame.format.name
        codec = stream.codec_context
        codec.colorspace, codec.color_range = frame.colorspace, frame.color_range
        codec.color_trc, codec.color_primaries = frame.color_trc, frame.color_primaries
        for index in range(frames):
            frame.pts, frame.time_base = index, Fraction(1, 25)
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


@pytest.mark.parametrize(
    ("nits", "expected"), [(0, 0), (50, 255 * (50 / 203) ** (1 / 2.4)), (100, 190), (203, 254)]
)
def test_pq_becomes_what_a_screen_of_203_nits_shows(nits: float, expected: float) -> None:
    assert level(grey(pq(nits), ColorTrc.SMPTE2084)) == pytest.approx(expected, abs=4)


def test_what_is_brighter_than_white_is_white() -> None:
    assert level(grey(pq(1000), ColorTrc.SMPTE2084)) == 255


def test_hlg_is_brighter_than_its_bare_signal() -> None:
    """Its diffuse white is at 75 % of the signal (ITU-R BT.2408)."""
    assert level(grey(0.75, ColorTrc.ARIB_STD_B67)) == pytest.approx(255, abs=6)
    assert 0.38 * 255 < level(grey(0.38, ColorTrc.ARIB_STD_B67)) < 0.75 * 255


@pytest.mark.parametrize("trc", [ColorTrc.BT709, ColorTrc.BT2020_10, ColorTrc.UNSPECIFIED])
def test_the_usual_range_stays_as_it_is(trc: int) -> None:
    assert level(grey(0.5, trc)) == pytest.approx(127, abs=2)


@pytest.mark.parametrize(
    ("trc", "matrix"),
    [
        *((ColorTrc.BT709, matrix) for matrix in (1, 2, 3, 4, 5, 6, 7, 9, 10, 12, 13, 18)),
        # Of those that are taken as the same matrix only a few: see REFORMATTER.
        *((ColorTrc.SMPTE2084, matrix) for matrix in (3, 12, 10, 13)),
    ],
)
def test_a_matrix_that_is_not_known_is_taken_as_a_similar_one(trc: int, matrix: int) -> None:
    assert level(grey(1.0, trc, matrix)) == pytest.approx(254, abs=2)


@pytest.mark.parametrize(("trc", "name"), [(16, "pq"), (18, "hlg"), (1, None)])
def test_a_video_says_that_it_is_hdr(tmp_path: Path, trc: int, name: str | None) -> None:
    assert probe(film(tmp_path / "a.mkv", grey(0.5, trc)), VideoLimits()).hdr == name


@pytest.mark.parametrize("hardware", [False, True])
def test_frames_are_tone_mapped_wherever_they_are_decoded(tmp_path: Path, hardware: bool) -> None:
    path = film(tmp_path / "a.mkv", grey(pq(203), ColorTrc.SMPTE2084))
    device = open_fake(required=True) if hardware else None
    frames = list(read_frames(Reading(path, 24, 32, False, None, 10**6, None, 1, hardware=device)))
    assert [frame.decoder for frame in frames] == ["fake" if hardware else "cpu"] * 2
    pixels: NDArray[np.uint8] = np.asarray(frames[0].pixels)
    assert float(pixels.mean()) == pytest.approx(254, abs=2)


@pytest.mark.parametrize(("matrix", "name"), [(8, "YCgCo"), (14, "ICtCp")])
def test_colours_that_are_not_converted_are_refused(tmp_path: Path, matrix: int, name: str) -> None:
    with pytest.raises(BadVideo, match=name):
        probe(film(tmp_path / "a.mkv", grey(0.5, ColorTrc.BT709, matrix)), VideoLimits())
