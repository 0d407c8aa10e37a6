"""masks.mkv: masks as lossless video, with the source's size, pixel shape and timestamps."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction
from math import gcd
from pathlib import Path

import av
from av.container import OutputContainer
from av.video.frame import VideoFrame
from av.video.reformatter import ColorRange
from av.video.stream import VideoStream

from models.spec import ModelSpec
from server.frame import VideoInfo
from server.sinks.artefacts import Artefact, Segmented
from server.sinks.coding import CODINGS
from server.sinks.encoding import Encoder
from server.sinks.matroska import (
    MILLISECOND,
    reserve_pixel_aspect,
    set_pixel_aspect,
    set_timestamp_scale,
)
from server.sinks.remuxing import check_alike, copy_packets, link, private_data
from server.sinks.style import Style

MATROSKA_TICK = 10_000
"""Nanoseconds; fine enough to recover a source's tick of 1/90000 s or coarser by rounding."""


class MaskVideo(Artefact):
    """FFV1, lossless; the grey value of a pixel is its class index.

    Matroska's usual tick is 1 ms. This file's tick is 10 us (MATROSKA_TICK), or the fraction of it
    that divides the source's tick. If there is no such fraction, times are rounded.
    """

    def __init__(self, path: Path, _spec: ModelSpec, info: VideoInfo, _style: Style) -> None:
        self._path = path
        self._info = info
        container, stream = _opened(path, info)
        # The muxer can only count in milliseconds, so it is given our ticks as if they were some.
        self._stretch = Fraction(1_000_000, matroska_scale(info.time_base))
        self._encoder = Encoder(container, stream, MILLISECOND, info.rate / self._stretch)

    def add(self, segmented: Segmented) -> None:
        frame = VideoFrame.from_ndarray(segmented.labels, format="gray")
        frame.color_range = ColorRange.JPEG
        duration = segmented.duration and segmented.duration * self._stretch
        self._encoder.encode(frame, segmented.pts * self._stretch, duration)

    def finish(self) -> None:
        self._encoder.finish()
        _complete(self._path, self._info)

    def discard(self) -> None:
        self._encoder.discard()

    @classmethod
    def join(
        cls, parts: Sequence[Path], path: Path, _spec: ModelSpec, info: VideoInfo, _style: Style
    ) -> None:
        if len(parts) == 1:
            return link(parts[0], path)
        container, stream = _opened(path, info)
        container.start_encoding()
        check_alike(stream.codec_context.extradata, private_data(parts[0]))
        tick = Fraction(matroska_scale(info.time_base), 10**9)
        copy_packets(parts, container, stream, tick, MILLISECOND)
        return _complete(path, info)


def matroska_scale(tick: Fraction) -> int:
    """Return a number of nanoseconds that divides MATROSKA_TICK and, if possible, ``tick``."""
    nanoseconds = tick * 10**9
    return gcd(int(nanoseconds), MATROSKA_TICK) if nanoseconds.denominator == 1 else MATROSKA_TICK


def _opened(path: Path, info: VideoInfo) -> tuple[OutputContainer, VideoStream]:
    # A cluster ends after this many ticks, which must fit an int16. Without random numbers in it,
    # the same masks give the same file.
    options = {"cluster_time_limit": "30000", "fflags": "+bitexact"}
    container = av.open(path, "w", format="matroska", options=options)
    stream = CODINGS["masks.mkv"].add_to(container, info)
    stream.codec_context.color_range = ColorRange.JPEG
    stream.codec_context.time_base = MILLISECOND
    if info.pixel_aspect != 1:
        reserve_pixel_aspect(stream)
    return container, stream


def _complete(path: Path, info: VideoInfo) -> None:
    """Write fields into a finished file that the muxer could not write."""
    set_timestamp_scale(path, matroska_scale(info.time_base))
    if info.pixel_aspect != 1:
        set_pixel_aspect(path, info.height, info.width, info.pixel_aspect)
