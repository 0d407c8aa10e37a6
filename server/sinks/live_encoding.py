"""The overlay as a live H.264 video: without delay, and with a key frame every two seconds."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Protocol

import av
from av.codec import CodecContext
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import PictureType
from av.video.reformatter import VideoReformatter
from av.video.stream import VideoStream

from server.frame import Mask, Pixels, host_pixels
from server.sinks.encoding import bt709_frame, even, tag_bt709
from server.sinks.overlay import overlay
from server.sinks.style import OPACITY

TICK = Fraction(1, 90_000)
KEY_SECONDS = 2
USUAL_RATE = 25
"""Frames per second; used only by the encoder's rate control."""


@dataclass(frozen=True, slots=True)
class LiveCoding:
    """An encoder with its options; ``device`` is a file without which it cannot work."""

    codec: str
    options: Mapping[str, str]
    device: str = ""

    def opens(self, height: int, width: int) -> bool:
        """Return whether this machine can encode pictures of this size with this encoder."""
        if self.device and not Path(self.device).exists():
            return False
        try:
            context = CodecContext.create(self.codec, "w")
            assert isinstance(context, VideoCodecContext)
            context.width, context.height, context.pix_fmt = width, height, "yuv420p"
            context.time_base, context.options = TICK, dict(self.options)
            context.open()
        except (FFmpegError, ValueError):  # ValueError: this FFmpeg has no such encoder
            return False
        return True


LIVE_CODINGS = (
    LiveCoding(
        "h264_nvenc",
        {"preset": "p3", "tune": "ull", "zerolatency": "1", "bf": "0", "forced-idr": "1"},
        device="/dev/nvidiactl",
    ),
    LiveCoding(
        "libx264",
        # Browsers receive the baseline profile by WebRTC.
        {
            "preset": "superfast",
            "tune": "zerolatency",
            "profile": "baseline",
            "crf": "23",
            "maxrate": "8M",
            "bufsize": "8M",
            "threads": "2",
            "forced-idr": "1",
        },
    ),
)
"""The first that opens is used; the last one opens everywhere."""


class Writable(Protocol):
    """A file that the video is written to."""

    def write(self, data: bytes, /) -> int: ...


class LiveEncoder:
    """Writes masks painted over their pictures, of one size, as H.264 in NUT.

    Raises OSError if the file cannot be written. Mutable state: the first mask's time, and the
    times of the last picture and the last key frame in ticks.
    """

    def __init__(self, file: Writable, height: int, width: int, palette: Pixels) -> None:
        self._palette = palette
        self._reformatter = VideoReformatter()
        self._container = av.open(file, "w", format="nut", container_options={"flush_packets": "1"})
        self._stream = self._add_stream(height + height % 2, width + width % 2)
        self._first: Fraction | None = None
        self._last = -1
        self._key: int | None = None

    def add(self, mask: Mask) -> None:
        """Write one picture. Times that do not rise are moved by a tick."""
        frame = bt709_frame(even(self._painted(mask)), self._reformatter)
        frame.pts, frame.time_base = self._ticks(mask), TICK
        if self._key is None or frame.pts - self._key >= KEY_SECONDS / TICK:
            frame.pict_type, self._key = PictureType.I, frame.pts
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        self._container.mux(self._stream.encode())
        self._container.close()

    def _painted(self, mask: Mask) -> Pixels:
        return overlay(shown_picture(mask), mask.labels, self._palette, OPACITY)

    def _ticks(self, mask: Mask) -> int:
        pts = mask.frame.pts or Fraction(0)
        if self._first is None:
            self._first = pts
        self._last = max(self._last + 1, round((pts - self._first) / TICK))
        return self._last

    def _add_stream(self, height: int, width: int) -> VideoStream:
        coding = chosen_coding(height, width)
        options = dict(coding.options)
        stream = self._container.add_stream(coding.codec, rate=USUAL_RATE, options=options)
        assert isinstance(stream, VideoStream)
        stream.width, stream.height, stream.pix_fmt = width, height, "yuv420p"
        stream.codec_context.time_base = TICK
        tag_bt709(stream)
        return stream


def chosen_coding(height: int, width: int) -> LiveCoding:
    """Return the first row of LIVE_CODINGS that works here."""
    *preferred, last = LIVE_CODINGS
    return next((one for one in preferred if one.opens(height, width)), last)


def shown_picture(mask: Mask) -> Pixels:
    """Return the picture of a mask in its own size if it is kept, otherwise in the model's."""
    whole = mask.frame.original
    return host_pixels(mask.frame.pixels) if whole is None else whole
