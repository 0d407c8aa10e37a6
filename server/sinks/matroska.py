"""Changes to a finished Matroska file, in place, that FFmpeg's muxer has no options for."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

from av.video.reformatter import ColorPrimaries, ColorTrc
from av.video.stream import VideoStream

BT709_MATRIX = 1
"""AVCOL_SPC_BT709, in a codec's fields."""

MILLISECOND = Fraction(1, 1000)
"""The muxer's only unit of time, in seconds."""

_SCALE = b"\x2a\xd7\xb1\x83"
_MILLISECOND_SCALE = _SCALE + (1_000_000).to_bytes(3, "big")

_HEAD_BYTES = 4096
"""Size of the file's beginning that contains the description of its tracks."""

_PLACEHOLDER = bytes.fromhex("54b28104 55b090 55ba8101 55b18101 55bb8101 55b98102")
"""DisplayUnit "unknown" and Colour: transfer, matrix and primaries of BT.709, full range."""


def set_timestamp_scale(path: Path, scale: int) -> None:
    """Make a file that was muxed in milliseconds count in ``scale`` nanoseconds instead.

    The muxer always writes a TimestampScale (RFC 9559, 5.1.2.9) of 1,000,000 ns; durations,
    clusters and cues are all relative to it, so only that value has to change.
    """
    with path.open("r+b") as file:
        place = file.read(_HEAD_BYTES).index(_MILLISECOND_SCALE)
        file.seek(place)
        file.write(_SCALE + scale.to_bytes(3, "big"))


def reserve_pixel_aspect(stream: VideoStream) -> None:
    """Make room in a full-range stream's header for :func:`set_pixel_aspect`.

    The muxer takes a pixel's shape only from a field that PyAV does not set. But it writes colours,
    which grey pictures do not need and which take as many bytes.
    """
    codec = stream.codec_context
    codec.colorspace = BT709_MATRIX
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709


def set_pixel_aspect(path: Path, height: int, width: int, pixel_aspect: Fraction) -> None:
    """Write the displayed shape of (height, width) pixels over the reserved bytes.

    With DisplayUnit 3, DisplayWidth and DisplayHeight are the aspect ratio (RFC 9559, 5.1.4.1).
    """
    shape = (pixel_aspect * width / height).limit_denominator(2**16)
    written = b"".join((
        b"\x54\xb0\x83" + shape.numerator.to_bytes(3, "big"),
        b"\x54\xba\x83" + shape.denominator.to_bytes(3, "big"),
        b"\x54\xb2\x81\x03",
        b"\x55\xb0\x84\x55\xb9\x81\x02",
    ))  # fmt: skip
    assert len(written) == len(_PLACEHOLDER)
    with path.open("r+b") as file:
        place = file.read(_HEAD_BYTES).index(_PLACEHOLDER)
        file.seek(place)
        file.write(written)
