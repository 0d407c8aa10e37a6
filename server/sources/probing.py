"""Probing an uploaded file, before it is accepted."""

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
from server.sources.decoding import decode_packet
from server.sources.demuxing import packets
from server.sources.footage import Footage
from server.sources.losses import Tally
from server.sources.open_file import OpenFile
from server.sources.opening import broken, open_video
from server.sources.rates import exact, jumpy, named_rates, tick
from server.sources.rendering import orientation

PACKETS_WITHOUT_PICTURE = frozenset({"vp8", "mpeg4"})
"""Codecs whose packets may have no picture (VP8's hidden frames, MPEG-4's packed B-frames)."""

MAX_PIXELS = 4096 * 4096

INDEX_PER_FRAME = 4
"""Maximum index entries per frame of the longest video: sound has entries, too."""

MAX_PIXEL_ASPECT = 32
"""A pixel aspect above this, or below its inverse, is a mistake in the file."""

CHECKED = 100
"""Packets between two checks of the limits, since a check costs as much as a packet."""

SLOWEST = Fraction(1)
"""Minimum frames per second that are assumed until the times are known."""


@dataclass(frozen=True, slots=True)
class VideoLimits:
    """The largest file (bytes), duration (seconds), number of frames and picture (height x width)
    accepted. Frames are limited as well as seconds because a container's times may be wrong."""

    max_bytes: int = 2 * 2**30
    max_seconds: float = 4 * 3600.0
    max_frames: int = 1_000_000
    max_pixels: int = MAX_PIXELS

    def __post_init__(self) -> None:
        if min(self.max_bytes, self.max_seconds, self.max_frames, self.max_pixels) <= 0:
            raise ValueError("a limit must be positive")


def probe(path: Path | OpenFile, limits: VideoLimits) -> VideoInfo:
    """Read a whole file once, decoding only up to its first picture, and describe its video.

    Raises TooLarge (bytes), UnsupportedMedia (not a supported container), BadVideo (empty, damaged,
    encrypted, no video stream, no picture, too long, too large a picture) or SourceFault (the file
    cannot be read).
    """
    with open_video(path, max_pixels=limits.max_pixels) as (container, stream):
        if path.stat().st_size > limits.max_bytes:
            raise TooLarge(
                f"The video is larger than the limit of {limits.max_bytes} bytes: send a shorter "
                "one."
            )
        _check_index(container, limits.max_frames)
        try:
            survey = _survey(container, stream, limits)
        except FFmpegError as error:
            raise broken(path, error, None) from error
        return survey.info()


def _check_index(container: InputContainer, max_frames: int) -> None:
    """Raise BadVideo if the index that FFmpeg keeps in memory is far too large.

    FFmpeg leaves the index of a stream empty, without an error, if there is no memory for it.
    """
    entries = sum(len(stream.index_entries) or stream.frames for stream in container.streams)
    if entries > max_frames * INDEX_PER_FRAME:
        raise BadVideo(
            f"The video's index claims {entries} entries, more than {max_frames} frames need: the "
            "file is damaged."
        )


def _check_clear(packet: Packet[VideoStream]) -> None:
    """Raise BadVideo if a packet is encrypted: a decoder would turn it into noise."""
    if packet.has_sidedata("encryption_info"):
        raise BadVideo("The video is encrypted: upload it without protection.")


def pixel_aspect(stream: VideoStream) -> Fraction:
    """Return a stored pixel's width divided by its height; 1 if no plausible value is given."""
    given = exact(stream.sample_aspect_ratio)
    return given if given and 1 / MAX_PIXEL_ASPECT <= given <= MAX_PIXEL_ASPECT else Fraction(1)


class _Survey:
    """The facts about a stream so far: its first picture and the times of its packets."""

    def __init__(self, container: InputContainer, stream: VideoStream) -> None:
        self._stream = stream
        self._rates = named_rates(stream)
        # Use the fastest rate: with one that is too slow, a clock's jump would seem normal.
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
            raise BadVideo("The video contains no picture that can be decoded: check the file.")
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
        raise BadVideo(
            f"The video is longer than the limit of {limits.max_seconds:g} s: send a shorter one."
        )
    if footage.pictures > limits.max_frames:
        raise BadVideo(
            f"The video has more frames than the limit of {limits.max_frames}: send a shorter one."
        )
