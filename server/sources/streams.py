"""Choosing the video stream of a container that players show."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import islice

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.stream import VideoStream

from server.errors import BadVideo

LOOK_AHEAD = 1000
"""Number of packets that are read to find the streams with a single picture."""

CUT_OFF = "The video is damaged or cut off: its index or first frames are missing."


@dataclass(frozen=True, slots=True)
class Candidate:
    """A video stream that may be chosen: ``default`` is its container's flag, ``pictures`` the
    number in the first packets or, if there are none, in the container's header."""

    index: int
    default: bool
    pixels: int
    pictures: int


def choose(candidates: Iterable[Candidate]) -> int:
    """Return the index of the stream that players show.

    Streams with several pictures come before those with one, which are covers even if not marked as
    such; then the default stream, the most pixels, the most pictures, and the first.
    """
    best = max(
        candidates,
        key=lambda one: (one.pictures > 1, one.default, one.pixels, one.pictures, -one.index),
    )
    return best.index


def candidates(container: InputContainer) -> list[VideoStream]:
    """Return the streams that may be the video; attached pictures are not.

    Raises BadVideo if there is none, if none can be decoded, or if the streams are the tiles of
    one large picture, which FFmpeg does not join.
    """
    streams = [s for s in container.streams.video if not s.disposition & Disposition.attached_pic]
    if not streams:
        raise BadVideo("The file has no video stream." if container.streams else CUT_OFF)
    whole = [s for s in streams if not s.disposition & Disposition.dependent]
    if len(whole) < len(streams) and not any(s.disposition & Disposition.default for s in whole):
        raise BadVideo("The picture is stored as a grid of tiles: save it as JPEG or PNG.")
    decodable = [s for s in whole if s.codec_context is not None]
    if not decodable:
        raise BadVideo("The video's codec is not supported: convert it, such as to H.264.")
    return decodable


def chosen(streams: Sequence[VideoStream], packets: Iterable[Packet[VideoStream]]) -> int:
    """Return the index of the stream that players show, judged by the first packets."""
    seen: Counter[int] = Counter()
    with suppress(FFmpegError):
        for packet in islice(packets, LOOK_AHEAD):
            seen[packet.stream_index] += packet.size > 0
            if all(seen[stream.index] > 1 for stream in streams):
                break
    return choose(_candidate(stream, seen[stream.index]) for stream in streams)


def _candidate(stream: VideoStream, seen: int) -> Candidate:
    return Candidate(
        index=stream.index,
        default=bool(stream.disposition & Disposition.default),
        pixels=stream.codec_context.width * stream.codec_context.height,
        pictures=seen or stream.frames,
    )
