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
from server.sources.decoding import decode_packet, frame_rate, packets, tick
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
        return survey.info(stream)


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


@dataclass(slots=True)
class _Survey:
    """What has been seen of a stream so far. Times are in its own ticks."""

    first: VideoFrame | None = None
    pictures: int = 0
    begin: int | None = None
    end: int = 0

    def add(self, packet: Packet[VideoStream]) -> None:
        self.pictures += packet.size > 0 and not packet.is_discard
        if packet.pts is not None and not packet.is_discard:
            self.begin = packet.pts if self.begin is None else min(self.begin, packet.pts)
            self.end = max(self.end, packet.pts + (packet.duration or 0))

    def seconds(self, stream: VideoStream) -> float:
        if self.begin is None:
            return float(self.pictures / frame_rate(stream))
        return float((self.end - self.begin) * tick(stream))

    def info(self, stream: VideoStream) -> VideoInfo:
        if self.first is None:
            raise BadVideo("The video holds no picture that can be decoded.")
        turned = orientation(self.first)
        height, width = turned.size(self.first.height, self.first.width)
        codec = stream.codec_context.codec.canonical_name
        return VideoInfo(
            width=width,
            height=height,
            frames=None if codec in PACKETS_WITHOUT_PICTURE else self.pictures,
            duration=self.seconds(stream),
            rate=frame_rate(stream),
            time_base=tick(stream),
            rotation=turned.clockwise,
            codec=codec,
            pixel_aspect=turned.pixel_aspect(pixel_aspect(stream)),
        )


def _survey(container: InputContainer, stream: VideoStream, limits: VideoLimits) -> _Survey:
    survey = _Survey()
    for packet in packets(container, stream):
        if packet is not None:
            _check_clear(packet)
            survey.add(packet)
        if survey.first is None:
            survey.first = next(iter(decode_packet(stream, packet, Tally())), None)
        if survey.seconds(stream) > limits.max_seconds:
            raise BadVideo(f"The video is longer than the {limits.max_seconds:g} s served here.")
        if survey.pictures > limits.max_frames:
            raise BadVideo(f"The video has more than the {limits.max_frames} frames served here.")
    return survey
