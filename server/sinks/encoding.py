"""overlay.mp4, and the encoder that it shares with masks.mkv: exact times, no reordering."""

from __future__ import annotations

from collections.abc import Sequence
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
from server.sinks.matroska import BT709_MATRIX
from server.sinks.overlay import overlay, palette
from server.sinks.remuxing import copy_packets
from server.sinks.style import Style

MP4_TIMESCALE = 10_000
"""Minimum ticks per second, so that estimated times fit between the source's own."""

FRAGMENTED = {
    "movflags": "+empty_moov+default_base_moof+frag_discont+skip_trailer",
    "avoid_negative_ts": "disabled",  # otherwise each part would begin at 0
    "frag_duration": "1000000",  # microseconds
    "flush_packets": "1",
}
"""Options of FFmpeg's MP4 for a part; readers see each fragment at once."""

MP4_DELTA = 2**31 - 2
"""In ticks; FFmpeg's MP4 cannot show a picture for longer."""


class Encoder:
    """One video stream in one file, with an encoder that keeps the order of its pictures.

    Times are whole ticks, strictly rising. Each packet lasts until the next one; the last picture
    lasts for its own duration or, if that is unknown, for one period of ``rate``. Mutable state:
    the last picture, which waits for the time of the next one, and the durations of the pictures
    inside the encoder.
    """

    def __init__(
        self, container: OutputContainer, stream: VideoStream, tick: Fraction, rate: Fraction
    ) -> None:
        self._container = container
        self._stream = stream
        self._tick = tick
        self._usual = 1 / rate
        self._last: tuple[VideoFrame, int, Fraction | None] | None = None
        self._shown: dict[int, int] = {}
        stream.codec_context.time_base = tick

    def encode(self, frame: VideoFrame, pts: Fraction, duration: Fraction | None) -> None:
        """Append a picture shown at ``pts`` seconds, rounded to the tick."""
        ticks = round(pts / self._tick)
        if self._last is not None:
            last, before, _ = self._last
            ticks = min(max(ticks, before + 1), before + MP4_DELTA)
            self._encode(last, before, ticks - before)
        self._last = frame, ticks, duration

    def finish(self) -> None:
        if self._last is not None:
            frame, ticks, duration = self._last
            self._encode(frame, ticks, max(1, round((duration or self._usual) / self._tick)))
        self._mux(None)
        self._container.close()

    def discard(self) -> None:
        with suppress(FFmpegError):
            self._container.close()

    def _encode(self, frame: VideoFrame, ticks: int, shown: int) -> None:
        self._shown[ticks] = min(shown, MP4_DELTA)
        frame.pts, frame.time_base = ticks, self._tick
        self._mux(frame)

    def _mux(self, frame: VideoFrame | None) -> None:
        for packet in self._stream.encode(frame):
            if packet.pts is not None:
                packet.duration = self._shown.pop(packet.pts, 0)
            self._container.mux(packet)


class OverlayVideo(Artefact):
    """overlay.mp4: H.264 yuv420p, BT.709, with the index in front and exactly the source's ticks.

    The movie's timescale is the same; otherwise a start later than 0 would be rounded. 4:2:0 has no
    odd sizes, so the last column or row of an odd picture is repeated. A part's first picture is an
    IDR picture, and no picture refers to one before the last IDR.

    A part is fragmented (ISO/IEC 14496-12, 8.8): it only grows, is readable at any time up to its
    last fragment, and ends with it. Its times are absolute, and the bytes before the first fragment
    are the same in every part, so browsers play the existing fragments of all parts as one file.
    """

    def __init__(self, path: Path, spec: ModelSpec, info: VideoInfo, style: Style) -> None:
        self._palette = palette(spec.classes)
        self._style, self._is_shown = style, style.is_shown(spec.classes)
        self._size = (info.height, info.width)
        self._reformatter = VideoReformatter()
        container = _opened(path, info, **FRAGMENTED)
        stream = CODINGS["overlay.mp4"].add_to(container, info)
        tag_bt709(stream)
        tick = Fraction(1, mp4_timescale(info.time_base))
        self._encoder = Encoder(container, stream, tick, info.rate)

    def add(self, segmented: Segmented) -> None:
        frame = bt709_frame(even(self._painted(segmented)), self._reformatter)
        self._encoder.encode(frame, segmented.pts, segmented.duration)

    def finish(self) -> None:
        self._encoder.finish()

    def discard(self) -> None:
        self._encoder.discard()

    @classmethod
    def join(
        cls, parts: Sequence[Path], path: Path, _spec: ModelSpec, info: VideoInfo, _style: Style
    ) -> None:
        container = _opened(path, info, movflags="+faststart")
        with av.open(parts[0]) as first:
            stream = container.add_stream_from_template(first.streams.video[0])
        stream.time_base = tick = Fraction(1, mp4_timescale(info.time_base))
        copy_packets(parts, container, stream, tick, tick)

    def _painted(self, segmented: Segmented) -> Pixels:
        picture, labels = self._picture(segmented), segmented.labels
        return overlay(picture, labels, self._palette, self._style.opacity, self._is_shown)

    def _picture(self, segmented: Segmented) -> Pixels:
        frame = segmented.mask.frame
        picture = host_pixels(frame.pixels) if frame.original is None else frame.original
        height, width = self._size
        if picture.shape[:2] == (height, width):
            return picture
        return np.asarray(cv2.resize(picture, (width, height)), dtype=np.uint8)


def _opened(path: Path, info: VideoInfo, **options: str) -> OutputContainer:
    scale = str(mp4_timescale(info.time_base))
    scales = {"video_track_timescale": scale, "movie_timescale": scale}
    return av.open(path, "w", format="mp4", options={"fflags": "+bitexact", **scales, **options})


def even(picture: Pixels) -> Pixels:
    """Return the picture with an odd last row or column repeated."""
    bottom, right = picture.shape[0] % 2, picture.shape[1] % 2
    if not bottom and not right:
        return picture
    grown = cv2.copyMakeBorder(picture, 0, bottom, 0, right, cv2.BORDER_REPLICATE)
    return np.asarray(grown, dtype=np.uint8)


def mp4_timescale(tick: Fraction) -> int:
    """Return a timescale (ticks per second), at least MP4_TIMESCALE, in which ``tick`` seconds are
    a whole number of ticks."""
    scale = tick.denominator
    while scale < MP4_TIMESCALE:
        scale *= 2
    return scale


def bt709_frame(picture: Pixels, reformatter: VideoReformatter) -> VideoFrame:
    """Return an RGB picture of even size as yuv420p in BT.709, for :func:`tag_bt709`."""
    return reformatter.reformat(
        VideoFrame.from_ndarray(picture, format="rgb24"),
        format="yuv420p",
        dst_colorspace=Colorspace.ITU709,
        dst_color_range=ColorRange.MPEG,
        threads=1,
    )


def tag_bt709(stream: VideoStream) -> None:
    """Mark a stream's colours as those of :func:`bt709_frame`."""
    codec = stream.codec_context
    codec.colorspace = BT709_MATRIX
    codec.color_primaries = ColorPrimaries.BT709
    codec.color_trc = ColorTrc.BT709
    codec.color_range = ColorRange.MPEG
