"""Reads a container from first to last picture, synchronously: packets in, Frames out."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Generator, Iterable, Iterator
from dataclasses import dataclass, field, replace
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from server.errors import BadVideo, SourceFault
from server.frame import Frame
from server.sources.arrivals import Arrival, Arrivals
from server.sources.clocks import Stamp
from server.sources.demuxing import camera_time, live_packets, packets, while_fruitful
from server.sources.hardware import Hardware
from server.sources.lateness import Lateness
from server.sources.losses import Tally
from server.sources.opening import broken, check_pixels, open_video
from server.sources.rendering import Renderer
from server.sources.timeline import PATIENCE, Rhythm, Timeline, longest_pause

DEFAULT_RATE = Fraction(25)
"""Frames per second, for a stream that names no rate."""

MAX_RATE = 1000
"""Frames per second; a higher value is the container's tick, not a rate."""

TS_DISCONT = 0x200
"""AVFMT_TS_DISCONT of libavformat."""

GRAIN = 10_000
"""Fractions of a second that are fine enough for times that are made up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read and how: ``height`` x ``width`` is the model's size.

    ``start`` skips all pictures shown before that many seconds. ``rate`` overrides the container's
    rate. ``hardware`` decodes what it can; the frames stay on its device. Pictures that are decoded
    more than ``late`` seconds too late are dropped, if that is given.
    """

    location: Path | str = field(repr=False)  # a URL may hold a password
    height: int
    width: int
    keep_original: bool
    start: Fraction | None
    max_pixels: int
    timeout: float | None
    threads: int
    hardware: Hardware | None = None
    rate: Fraction | None = None
    late: float | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture, the arrival of its packet and the seconds that decoding took."""

    frame: VideoFrame
    arrival: Arrival
    seconds: float


@dataclass(frozen=True, slots=True)
class Counts:
    """The counts that are kept while a video is read."""

    tally: Tally = field(default_factory=Tally)
    arrivals: Arrivals = field(default_factory=Arrivals)


def read_frames(
    reading: Reading, counts: Counts | None = None, left: Callable[[], bool] = lambda: False
) -> Generator[Frame, None, None]:
    """Yield the Frames of a video in display order, with seq from 0.

    Packets that cannot be decoded are skipped and counted. A URL is no longer read once ``left``
    returns true, even if nothing can be decoded. Raises BadVideo if nothing of a file was decoded
    or a picture exceeds the limit, SourceFault if nothing of a URL was decoded, and the errors of
    :func:`open_video`, :func:`broken`, :func:`live_packets` and :func:`while_fruitful`.
    """
    live, nothing = isinstance(reading.location, str), True
    with open_video(
        reading.location,
        max_pixels=reading.max_pixels,
        timeout=reading.timeout,
        threads=reading.threads,
        acceleration=reading.hardware.decoder.acceleration() if reading.hardware else None,
    ) as (container, stream):
        try:
            for frame in _frames(reading, container, stream, counts or Counts(), left):
                nothing = False
                yield frame
        except FFmpegError as error:
            raise broken(reading.location, error, reading.timeout) from (None if live else error)
    if nothing and live:
        raise SourceFault("The source ended before a picture could be decoded.")
    if nothing:
        raise BadVideo("The video contains no picture that can be decoded: check the file.")


def _frames(
    reading: Reading,
    container: InputContainer,
    stream: VideoStream,
    counts: Counts,
    left: Callable[[], bool],
) -> Iterator[Frame]:
    _seek(container, stream, reading.start)
    shown = (
        (frame, pts)
        for frame, pts in _timed(reading, container, stream, counts, left)
        if reading.start is None or pts >= reading.start
    )
    for seq, (frame, pts) in enumerate(shown):
        if frame is None:
            counts.arrivals.passed_over += 1
        else:
            yield replace(frame, seq=seq, pts=pts)


def _timed(
    reading: Reading,
    container: InputContainer,
    stream: VideoStream,
    counts: Counts,
    left: Callable[[], bool],
) -> Iterator[tuple[Frame | None, Fraction]]:
    """Yield all pictures, rendered, with their times; None for one that is too late.

    They are rendered before they wait for their time, because a GPU's decoder has few surfaces.
    """
    live = isinstance(reading.location, str)
    lateness = Lateness(math.inf if reading.late is None else reading.late)
    timeline = Timeline[Frame | None](
        rhythm(container, stream, reading.rate, live), patience=0 if live else PATIENCE
    )
    renderer = Renderer(
        reading.height,
        reading.width,
        keep_original=reading.keep_original,
        hardware=reading.hardware,
    )
    came = (
        packets(container, stream)
        if reading.timeout is None
        else while_fruitful(live_packets(container, stream, reading.timeout, left), counts.arrivals)
    )
    for picture in decode(came, stream, counts):
        check_pixels(picture.frame.height, picture.frame.width, reading.max_pixels)
        stamp = timestamps(picture.frame, stream)
        over = lateness.passes_over(stamp.pts, time.monotonic())
        yield from timeline.add(None if over else _frame(renderer, picture, stream), stamp)
    yield from timeline.finish()


def decode(
    came: Iterable[Packet[VideoStream] | None], stream: VideoStream, counts: Counts
) -> Iterator[Picture]:
    """Yield all pictures that can be decoded, in display order."""
    for packet in came:
        began = time.monotonic()
        if packet is not None and packet.size:
            counts.arrivals.packet(packet.pts, Arrival(began, time.time(), camera_time(packet)))
        frames = decode_packet(stream, packet, counts.tally)
        ended = time.monotonic()
        for frame in frames:
            arrival = counts.arrivals.frame(frame.pts, ended)
            yield Picture(frame, arrival, (ended - began) / len(frames))


def decode_packet(
    stream: VideoStream, packet: Packet[VideoStream] | None, tally: Tally
) -> list[VideoFrame]:
    """Return the pictures that one packet completes; none if it is damaged."""
    try:
        frames = stream.decode(packet)
    except FFmpegError:
        tally.failed(packet)
        return []
    tally.add(frames)
    return frames


def timestamps(frame: VideoFrame, stream: VideoStream) -> Stamp:
    """Return the picture's times according to container and codec."""
    pts, dts = (None if t is None else t * tick(stream) for t in (frame.pts, frame.dts))
    return Stamp(pts, dts)


def tick(stream: VideoStream) -> Fraction:
    """Return the unit of the stream's timestamps in seconds."""
    return exact(stream.time_base) or Fraction(1, 1000)


def exact(number: Fraction | None) -> Fraction | None:
    """Return a number of PyAV's as a Fraction, None if it is not set.

    From version 19 on PyAV has a type of its own for them, whose unset value is false.
    """
    return Fraction(number.numerator, number.denominator) if number else None


def named_rates(stream: VideoStream) -> list[Fraction]:
    """Return the frame rates that the container, the codec or FFmpeg's guess name; at least one."""
    named = map(exact, (stream.average_rate, stream.guessed_rate))
    return [rate for rate in named if rate and rate <= MAX_RATE] or [DEFAULT_RATE]


def jumpy(container: InputContainer) -> bool:
    """Return whether the clock of the container's format may jump."""
    return bool(container.format.flags & TS_DISCONT)


def rhythm(
    container: InputContainer, stream: VideoStream, rate: Fraction | None, live: bool = False
) -> Rhythm:
    """Return what a Timeline needs to know about a stream; ``rate`` overrides the stream's. The
    clock of a camera may be set at any time."""
    rate = rate or named_rates(stream)[0]
    parts = tick(stream).denominator
    while parts < GRAIN:
        parts *= 2
    return Rhythm(rate, Fraction(1, parts), longest_pause(rate, live or jumpy(container)))


def _frame(renderer: Renderer, picture: Picture, stream: VideoStream) -> Frame:
    """Return the picture as a Frame without its number and time."""
    began = time.monotonic()
    rendered = renderer.render(picture.frame)
    return Frame(
        pixels=rendered.pixels,
        seq=0,
        duration=picture.frame.duration * tick(stream) or None,
        size=rendered.size,
        original=rendered.original,
        arrived=picture.arrival.at,
        wall=picture.arrival.wall,
        camera_time=picture.arrival.camera,
        decode=picture.seconds + time.monotonic() - began,
        decoder=rendered.decoder,
        damaged=picture.frame.is_corrupt,
    )


def _seek(container: InputContainer, stream: VideoStream, start: Fraction | None) -> None:
    if start is not None:
        container.seek(int(start / tick(stream)), stream=stream)
