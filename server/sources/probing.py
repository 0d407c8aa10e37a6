"""What an uploaded file is, found out before it is accepted."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from server.errors import BadVideo, TooLarge
from server.frame import VideoInfo
from server.sources.colours import check_colours, hdr
from server.sources.decoding import decode_packet, jumpy, named_rates, tick
from server.sources.demuxing import packets
from server.sources.footage import Footage
from server.sources.losses import Tally
from server.sources.opening import broken, open_video
from server.sources.rendering import orientation

PACKETS_WITHOUT_PICTURE = frozenset({"vp8", "mpeg4"})
"""Codecs in which a packet may show nothing (VP8's hidden frames, MPEG-4's packed B-frames)."""

MAX_PIXELS = 4096 * 4096

INDEX_PER_FRAME = 4
"""Entries of a container's index for each frame of its longest video: sound has entries too."""

MAX_PIXEL_ASPECT = 32
"""Beyond it, or below its inverse, a pixel's shape is a mistake of whoever wrote the file."""

CHECKED = 100
"""Packets. So often the limits are looked at, since adding up costs as much as a packet."""

SLOWEST = Fraction(1)
"""Frames a second that are assumed at least till the times are known."""


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The largest file (bytes), duration (seconds), number of frames and picture (height x width)
    accepted. Frames beside seconds: a container's clock says what it likes."""

    max_bytes: int = 2 * 2**30
    max_seconds: float = 4 * 3600.0
    max_frames: int = 1_000_000
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_seconds, self.max_frames, self.max_pixels) <= 0:
            raise ValueError("a limit must be positive")


def probe(path: Path, limits: VideoLimits) -> VideoInfo:
    """Read a file through once, decoding only up to its first picture.

    Raises TooLarge (bytes), UnsupportedMedia (no container known here) or BadVideo (empty,
    damaged, no video stream, no picture, too long, too large a picture).
    """
    with open_video(path, max_pixels=limits.max_pixels) as (container, stream):
        if path.stat().st_size > limits.max_bytes:
            raise TooLarge(f"The video is larger than the {limits.max_bytes} bytes served here.")
        _check_index(container, limits.max_frames)
        try:
            survey = _survey(container, stream, limits)
        except FFmpegError as error:
            raise broken(path, error, None) from error
        return survey.info()


def _check_index(container: InputContainer, max_frames: int) -> None:
    """Raise BadVideo if the index that FFmpeg keeps in memory is out of all proportion.

    It leaves the index of a stream empty, without an error, if there is no memory for it.
    """
    entries = sum(len(stream.index_entries) or stream.frames for stream in container.streams)
    if entries > max_frames * INDEX_PER_FRAME:
        raise BadVideo(
            f"The video's index claims {entries} entries, more than {max_frames} frames need."
        )


def _check_clear(packet: Packet[VideoStream]) -> None:
    """Raise BadVideo if a packet is encrypted: a decoder would make noise of it."""
    if packet.has_sidedata("encryption_info"):
        raise BadVideo("The video is encrypted: upload it without protection.")


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Width by height of a stored pixel; 1 if nothing plausible is given."""
    given = stream.sample_aspect_ratio
    return given if given and 1 / MAX_PIXEL_ASPECT <= given <= MAX_PIXEL_ASPECT else Fraction(1)


class _Survey:
    """What has been seen of a stream so far: its first picture and the times of its packets."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._stream = stream
        self._rates = named_rates(stream)
        # The fastest: too slow a one would take a clock's jump for the usual distance.
        guess = max(*self._rates, SLOWEST)
        self.footage = Footage(tick(stream), guess, jumpy(container))
        self.first: VideoFrame | None = None

    def add(self, packet: Packet[VideoStream] | None) -> None:
        if packet is not None and packet.size > 0 and not packet.is_discard:
            self.footage.add(packet.pts, packet.dts, packet.duration or 0)
        if self.first is None:
            self.first = next(iter(decode_packet(self._stream, packet, Tally())), None)

    def info(self) -> VideoInfo:
        if self.first is None:
            raise BadVideo("The video holds no picture that can be decoded.")
        check_colours(self.first)
        turned = orientation(self.first)
        height, width = turned.size(self.first.height, self.first.width)
        codec = self._stream.codec_context.codec.canonical_name
        return VideoInfo(
            width=width,
            height=height,
            frames=None if codec in PACKETS_WITHOUT_PICTURE else self.footage.pictures,
            duration=float(self.footage.seconds),
            rate=self.footage.rate(self._rates),
            time_base=self.footage.unit(),
            rotation=turned.clockwise,
            codec=codec,
            hdr=hdr(self.first),
            pixel_aspect=turned.pixel_aspect(pixel_aspect(self._stream)),
        )


def _survey(container: InputContainer, stream: VideoStream, limits: VideoLimits) -> _Survey:
    survey = _Survey(container, stream)
    for number, packet in enumerate(packets(container, stream), 1):
        if packet is not None:
            _check_clear(packet)
        survey.add(packet)
        if number % CHECKED == 0:
            _check(survey.footage, limits)
    _check(survey.footage, limits)
    return survey


def _check(footage: Footage, limits: VideoLimits) -> None:
    if footage.seconds > limits.max_seconds:
        raise BadVideo(f"The video is longer than the {limits.max_seconds:g} s served here.")
    if footage.pictures > limits.max_frames:
        raise BadVideo(f"The video has more than the {limits.max_frames} frames served here.")
