"""Reading a container from first to last picture, synchronously: packets in, Frames out."""

from __future__ import annotations

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
from server.sources.demuxing import camera_time, live_packets, packets
from server.sources.hardware import Hardware
from server.sources.losses import Tally
from server.sources.opening import broken, check_pixels, open_video
from server.sources.rendering import Renderer
from server.sources.timeline import PATIENCE, Rhythm, Timeline, longest_pause

DEFAULT_RATE = Fraction(25)
"""Frames a second of a stream that names no rate at all."""

MAX_RATE = 1000
"""Frames a second. What is named beyond is the container's tick, no rate."""

TS_DISCONT = 0x200
"""AVFMT_TS_DISCONT of libavformat."""

GRAIN = 10_000
"""Parts of a second that are fine enough for times that are made up."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read and how: ``height`` x ``width`` is the model's size.

    ``start`` skips all pictures shown before that many seconds. ``rate`` is that of the pictures,
    where it is better known than by the container. With ``hardware`` what it can decode is
    decoded there and stays there.
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


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture, when its packet came in and seconds of decoding."""

    frame: VideoFrame
    arrival: Arrival
    seconds: float


@dataclass(frozen=True, slots=True)
class Counts:
    """What is counted while a video is read."""

    tally: Tally = field(default_factory=Tally)
    arrivals: Arrivals = field(default_factory=Arrivals)


def read_frames(
    reading: Reading, counts: Counts | None = None, left: Callable[[], bool] = lambda: False
) -> Generator[Frame, None, None]:
    """The Frames of a video in the order in which they are shown, seq from 0.

    Packets that cannot be decoded are passed over and counted. A URL is no longer read once
    ``left`` is true, also if nothing can be decoded. Raises BadVideo if nothing of a
    file was decoded or pictures grow past the limit, SourceFault if nothing of a URL was, and as
    :func:`open_video`, :func:`broken` and :func:`live_packets` say.
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
        raise BadVideo("The video holds no picture that can be decoded.")


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
        yield replace(frame, seq=seq, pts=pts)


def _timed(
    reading: Reading,
    container: InputContainer,
    stream: VideoStream,
    counts: Counts,
    left: Callable[[], bool],
) -> Iterator[tuple[Frame, Fraction]]:
    """All pictures, rendered, with their times. What waits for its time is not the decoder's
    any more, since a GPU's has few pictures to lend."""
    live = isinstance(reading.location, str)
    timeline = Timeline[Frame](
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
        else live_packets(container, stream, reading.timeout, left)
    )
    for picture in decode(came, stream, counts):
        check_pixels(picture.frame.height, picture.frame.width, reading.max_pixels)
        yield from timeline.add(
            _frame(renderer, picture, stream), timestamps(picture.frame, stream)
        )
    yield from timeline.finish()


def decode(
    came: Iterable[Packet[VideoStream] | None], stream: VideoStream, counts: Counts
) -> Iterator[Picture]:
    """All pictures that can be decoded, in the order in which they are shown."""
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
    """The pictures that one packet completes; none if it is damaged."""
    try:
        frames = stream.decode(packet)
    except FFmpegError:
        tally.failed(packet)
        return []
    tally.add(frames)
    return frames


def timestamps(frame: VideoFrame, stream: VideoStream) -> Stamp:
    """What container and codec tell of a picture's time."""
    pts, dts = (None if t is None else t * tick(stream) for t in (frame.pts, frame.dts))
    return Stamp(pts, dts)


def tick(stream: VideoStream) -> Fraction:
    """The unit of the stream's timestamps in seconds."""
    return stream.time_base or Fraction(1, 1000)


def named_rates(stream: VideoStream) -> list[Fraction]:
    """Frames a second as the container, the codec or FFmpeg's guess name them; never none."""
    named = (stream.average_rate, stream.guessed_rate)
    return [rate for rate in named if rate and rate <= MAX_RATE] or [DEFAULT_RATE]


def jumpy(container: InputContainer) -> bool:
    """Whether the format is one whose clock may jump."""
    return bool(container.format.flags & TS_DISCONT)


def rhythm(
    container: InputContainer, stream: VideoStream, rate: Fraction | None, live: bool = False
) -> Rhythm:
    """What a Timeline needs to know of a stream; ``rate`` where it is known. The clock of a
    camera may be set at any time."""
    rate = rate or named_rates(stream)[0]
    parts = tick(stream).denominator
    while parts < GRAIN:
        parts *= 2
    return Rhythm(rate, Fraction(1, parts), longest_pause(rate, live or jumpy(container)))


def _frame(renderer: Renderer, picture: Picture, stream: VideoStream) -> Frame:
    """The picture as a Frame that has no number and no time yet."""
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
