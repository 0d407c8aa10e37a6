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

from server.dialling.dial import Guard
from server.errors import BadVideo, SourceFault
from server.frame import Frame
from server.sources.arrivals import Arrival, Arrivals
from server.sources.clocks import Stamp
from server.sources.cuts import KeyFrame
from server.sources.demuxing import (
    camera_time,
    live_packets,
    packets,
    packets_from,
    while_fruitful,
)
from server.sources.hardware import Hardware
from server.sources.lateness import Lateness
from server.sources.losses import Tally
from server.sources.open_file import OpenFile
from server.sources.opening import broken, check_pixels, open_video
from server.sources.rates import rhythm, tick
from server.sources.rendering import Renderer
from server.sources.timeline import PATIENCE, Timeline


@dataclass(frozen=True, slots=True)
class Stretch:
    """A part of a file that is read from the ``key`` frame on: pictures before number ``warm_up``
    are only decoded, those before number ``first`` only fill the memory."""

    key: KeyFrame
    warm_up: int
    first: int


@dataclass(frozen=True, slots=True)
class Reading:
    """What to read, and how: ``height`` x ``width`` is the model's size.

    ``start`` skips all pictures shown before that many seconds. ``rate`` overrides the container's
    rate. ``hardware`` decodes what it can; the frames stay on its device. Pictures that are decoded
    more than ``late`` seconds too late are dropped, if that is given. The frames of a ``stretch``
    have the same numbers as in the whole file. ``guard`` decides which addresses may be opened; all
    may without it.
    """

    location: Path | OpenFile | str = field(repr=False)  # a URL may contain a password
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
    stretch: Stretch | None = None
    guard: Guard | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture, the arrival of its packet and the seconds that decoding took."""

    frame: VideoFrame
    arrival: Arrival
    seconds: float


@dataclass(frozen=True, slots=True)
class Counts:
    """Counts kept while a video is read."""

    tally: Tally = field(default_factory=Tally)
    arrivals: Arrivals = field(default_factory=Arrivals)


def read_frames(
    reading: Reading, counts: Counts | None = None, left: Callable[[], bool] = lambda: False
) -> Generator[Frame, None, None]:
    """Yield the Frames of a video in display order, with seq from 0.

    Packets that cannot be decoded are skipped and counted. Reading a URL stops once ``left``
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
        guard=reading.guard,
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
    stretch = reading.stretch
    for seq, (frame, pts) in enumerate(shown, stretch.key.number if stretch else 0):
        if frame is not None:
            replay = stretch is not None and seq < stretch.first
            yield replace(frame, seq=seq, pts=pts, replay=replay)
        elif stretch is None:
            counts.arrivals.passed_over += 1


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
    unneeded = reading.stretch.warm_up - reading.stretch.key.number if reading.stretch else 0
    came = _packets(reading, container, stream, counts, left)
    for number, picture in enumerate(decode(came, stream, counts)):
        check_pixels(picture.frame.height, picture.frame.width, reading.max_pixels)
        stamp = timestamps(picture.frame, stream)
        over = number < unneeded or lateness.passes_over(stamp.pts, time.monotonic())
        yield from timeline.add(None if over else _frame(renderer, picture, stream), stamp)
    yield from timeline.finish()


def _packets(
    reading: Reading,
    container: InputContainer,
    stream: VideoStream,
    counts: Counts,
    left: Callable[[], bool],
) -> Iterable[Packet[VideoStream] | None]:
    if reading.timeout is not None:
        return while_fruitful(
            live_packets(container, stream, reading.timeout, left), counts.arrivals
        )
    if reading.stretch is None or reading.stretch.key.number == 0:
        return packets(container, stream)
    return packets_from(container, stream, reading.stretch.key.pts, reading.stretch.key.dts)


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
