"""masks.mkv and overlay.mp4: masks as video, with the source's size, pixel shape and timestamps."""

from __future__ import annotations

from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.frame import VideoFrame
from av.video.reformatter import ColorPrimaries, ColorRange, Colorspace, ColorTrc, VideoReformatter
from av.video.stream import VideoStream

from models.spec import ModelSpec
from server.frame import Pixels, VideoInfo, host_pixels
from server.sinks.artefacts import Artefact, Segmented
from server.sinks.coding import CODINGS
from server.sinks.matroska import BT709_MATRIX, reserve_pixel_aspect, set_pixel_aspect
from server.sinks.overlay import overlay, palette

OPACITY = 0.5

MATROSKA_TICK = Fraction(1, 100_000)
"""Seconds. Fine enough to find a source's tick of 1/90000 s or coarser again by rounding."""

_MILLISECOND_SCALE = b"\x2a\xd7\xb1\x83" + (1_000_000).to_bytes(3, "big")
_MATROSKA_SCALE = b"\x2a\xd7\xb1\x83" + int(MATROSKA_TICK * 10**9).to_bytes(3, "big")


class Encoder:
    """One video stream in one file. Times are whole ticks, strictly rising."""

    def __init__(self, container: OutputContainer, stream: VideoStream, tick: Fraction) -> None:
        self._container = container
        self._stream = stream
        self._tick = tick
        self._last: int | None = None
        stream.codec_context.time_base = tick

    def encode(self, frame: VideoFrame, pts: Fraction) -> None:
        """Append a picture shown at ``pts`` seconds, rounded to the tick."""
        frame.pts = self._after_last(round(pts / self._tick))
        frame.time_base = self._tick
        self._container.mux(self._stream.encode(frame))

    def finish(self) -> None:
        self._container.mux(self._stream.encode(None))
        self._container.close()

    def discard(self) -> None:
        with suppress(FFmpegError):
            self._container.close()

    def _after_last(self, ticks: int) -> int:
        self._last = ticks if self._last is None else max(ticks, self._last + 1)
        return self._last


class MaskVideo(Artefact):
    """masks.mkv: FFV1, lossless; the grey value of a pixel is its class index.

    Matroska's usual tick is 1 ms; this file's is 10 us (MATROSKA_TICK), to which the source's
    timestamps are rounded.
    """

    def __init__(self, path: Path, _spec: ModelSpec, info: VideoInfo) -> None:
        self._path = path
        # A cluster is cut off after this many ticks, at most an int16 of them.
        container = av.open(path, "w", format="matroska", options={"cluster_time_limit": "30000"})
        stream = CODINGS["masks.mkv"].add_to(container, info)
        stream.codec_context.color_range = ColorRange.JPEG
        self._info = info
        if info.pixel_aspect != 1:
            reserve_pixel_aspect(stream)
        # The muxer counts in milliseconds and nothing else; what it takes for one is our tick.
        self._encoder = Encoder(container, stream, Fraction(1, 1000))
        self._stretch = Fraction(1, 1000) / MATROSKA_TICK

    def add(self, segmented: Segmented) -> None:
        frame = VideoFrame.from_ndarray(segmented.labels, format="gray")
        frame.color_range = ColorRange.JPEG
        self._encoder.encode(frame, segmented.pts * self._stretch)

    def finish(self) -> None:
        self._encoder.finish()
        set_matroska_tick(self._path)
        if self._info.pixel_aspect != 1:
            info = self._info
            set_pixel_aspect(self._path, info.height, info.width, info.pixel_aspect)

    def discard(self) -> None:
        self._encoder.discard()


class OverlayVideo(Artefact):
    """overlay.mp4: H.264 yuv420p, BT.709, index in front; the source's own ticks, exactly.

    4:2:0 has no odd sizes: an odd picture gets its last column or row once more.
    """

    def __init__(self, path: Path, spec: ModelSpec, info: VideoInfo) -> None:
        self._palette = palette(spec.classes)
        self._size = (info.height, info.width)
        self._reformatter = VideoReformatter()
        container = av.open(path, "w", format="mp4", options={"movflags": "+faststart"})
        stream = CODINGS["overlay.mp4"].add_to(container, info)
        _tag_bt709(stream)
        self._encoder = Encoder(container, stream, info.time_base)

    def add(self, segmented: Segmented) -> None:
        picture = self._picture(segmented)
        painted = even(overlay(picture, segmented.labels, self._palette, OPACITY))
        frame = self._reformatter.reformat(
            VideoFrame.from_ndarray(painted, format="rgb24"),
            format="yuv420p",
            dst_colorspace=Colorspace.ITU709,
            dst_color_range=ColorRange.MPEG,
            threads=1,
        )
        self._encoder.encode(frame, segmented.pts)

    def finish(self) -> None:
        self._encoder.finish()

    def discard(self) -> None:
        self._encoder.discard()

    def _picture(self, segmented: Segmented) -> Pixels:
        frame = segmented.mask.frame
        picture = host_pixels(frame.pixels) if frame.original is None else frame.original
        height, width = self._size
        if picture.shape[:2] == (height, width):
            return picture
        return np.asarray(cv2.resize(picture, (width, height)), dtype=np.uint8)


def even(picture: Pixels) -> Pixels:
    """The picture with an odd last row or column repeated."""
    bottom, right = picture.shape[0] % 2, picture.shape[1] % 2
    if not bottom and not right:
        return picture
    grown = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(grown, dtype=np.uint8)


def set_matroska_tick(path: Path) -> None:
    """Let a file that was muxed in milliseconds count in MATROSKA_TICK instead.

    TimestampScale (RFC 9559, 5.1.2.9) is what the muxer fixes at 1,000,000 ns; durations,
    clusters and cues all count in it, so that it alone has to change.
    """
    with path.open("r+b") as file:
        place = file.read(4096).index(_MILLISECOND_SCALE)
        file.seek(place)
        file.write(_MATROSKA_SCALE)


def _tag_bt709(stream: VideoStream) -> None:
    codec = stream.codec_context
    codec.colorspace = BT709_MATRIX
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    codec.color_range = ColorRange.MPEG
