"""Conversion of a video's colours to RGB for screens.

The numbers are those of ITU-T H.273, tables 3 and 4, which FFmpeg uses too.
"""

from __future__ import annotations

from typing import cast

from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, Colorspace, ColorTrc, VideoReformatter

from server.errors import BadVideo
from server.frame import Pixels

HDR = {int(ColorTrc.SMPTE2084): "pq", int(ColorTrc.ARIB_STD_B67): "hlg"}
"""Transfer curves of pictures brighter than white."""

_NOT_CONVERTED = {
    8: "YCgCo",
    11: "YDzDx",
    14: "ICtCp",
    15: "IPT-C2",
    16: "YCgCo-Re",
    17: "YCgCo-Ro",
}
_SIMILAR = {10: Colorspace.BT2020, 12: Colorspace.ITU709, 13: Colorspace.BT2020}
"""Substitutes for matrices that swscale does not support: constant luminance, or derived from the
primaries."""

_KNOWN = frozenset({0, 1, 2, 4, 5, 6, 7, 9})


def hdr(frame: VideoFrame) -> str | None:
    """Return "pq" or "hlg" if the picture's dynamic range is high, otherwise None."""
    return HDR.get(frame.color_trc)


def check_colours(frame: VideoFrame) -> None:
    """Raise BadVideo if the picture's colours cannot be converted."""
    if name := _NOT_CONVERTED.get(frame.colorspace):
        raise BadVideo(f"The video's colours are in {name}: convert them to YCbCr, such as BT.709.")


def to_rgb(frame: VideoFrame, reformatter: VideoReformatter) -> Pixels:
    """Return the whole picture as stored, (height, width, 3).

    The matrix (BT.601, BT.709, BT.2020) and range are the stream's own; BT.601 if it names none.
    Converting before scaling gives a model the same picture that a client would push, and swscale's
    unscaled path is the fast one (0.3 ms at 960x540). HDR becomes BT.709: diffuse white (203 cd/m2,
    ITU-R BT.2408) becomes white, and brighter values are clipped. For this swscale builds a table,
    which takes two seconds once, and needs 28 ms per picture of 1920x1080.
    """
    matrix = (
        None if frame.colorspace in _KNOWN else _SIMILAR.get(frame.colorspace, Colorspace.ITU601)
    )
    high = hdr(frame) is not None
    rgb = reformatter.reformat(
        frame,
        format="rgb24",
        src_colorspace=matrix,
        dst_color_trc=ColorTrc.BT709 if high else None,
        dst_color_primaries=ColorPrimaries.BT709 if high else None,
        threads=1,
    )
    return cast(Pixels, rgb.to_ndarray())
