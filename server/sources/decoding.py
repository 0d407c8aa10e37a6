"""Reading a container from first to last picture, synchronously: packets in, Frames out."""

from __future__ import annotations

import time
from collections.abc import Generator, Iterator
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.container import InputContainer
from av.error import FFmpegError, InvalidDataError
from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from server.errors import BadVideo
from server.frame import Frame
from server.sources.hardware import Hardware
from server.sources.losses import Tally
from server.sources.opening import broken, check_pixels, open_video
from server.sources.rendering import Renderer
from server.sources.timeline import Timeline

DEFAULT_RATE = Fraction(25)
"""Frames a second of a stream that names no rate at all."""


@dataclass(frozen=True, slots=True)
class Reading:
    """What is read and how: ``height`` x ``width`` is the model's size.

    ``start`` skips all pictures shown before that many seconds. With ``hardware`` what it can
    decode is decoded there and stays there.
    """

    location: Path | str
    height: int
    width: int
    keep_original: bool
    start: Fraction | None
    max_pixels: int
    timeout: float | None
    threads: int
    hardware: Hardware | None = None


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """One decoded picture, when its bytes came in (time.monotonic()) and seconds of decoding."""

    frame: VideoFrame
    arrived: float
    seconds: float


def read_frames(reading: Reading, tally: Tally | None = None) -> Generator[Frame, None, None]:
    """The Frames of a video in the order in which they are shown, seq from 0.

    Packets that cannot be decoded are passed over and counted in ``tally``. Raises BadVideo where
    nothing was decoded or pictures grow past the limit, and as :func:`open_video` and
    :func:`broken` say.
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
            for frame in _frames(reading, container, stream, tally or Tally()):
                nothing = False
                yield frame
        except FFmpegError as error:
            raise broken(reading.location, error, reading.timeout) from (None if live else error)
    if nothing:
        raise BadVideo("The video holds no picture that can be decoded.")


def _frames(
    reading: Reading, container: InputContainer, stream: VideoStream, tally: Tally
) -> Iterator[Frame]:
    timeline = Timeline(frame_rate(stream), tick(stream))
    renderer = Renderer(
        reading.height,
        reading.width,
        keep_original=reading.keep_original,
        hardware=reading.hardware,
    )
    _seek(container, stream, reading.start)
    seq = 0
    for picture in decode(container, stream, tally):
        check_pixels(picture.frame.height, picture.frame.width, reading.max_pixels)
        pts = timeline.stamp(presentation_time(picture.frame, stream))
        if reading.start is None or pts >= reading.start:
            yield _frame(renderer, picture, seq, pts)
            seq += 1


def decode(container: InputContainer, stream: VideoStream, tally: Tally) -> Iterator[Picture]:
    """All pictures that can be decoded, in the order in which they are shown."""
    for packet in packets(container, stream):
        arrived = time.monotonic()
        frames = decode_packet(stream, packet, tally)
        seconds = time.monotonic() - arrived
        for frame in frames:
            yield Picture(frame, arrived, seconds / len(frames))


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream] | None]:
    """The stream's packets and last what flushes the decoder. A file's damaged end just ends."""
    try:
        yield from container.demux(stream)
    except InvalidDataError:
        yield None


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


def presentation_time(frame: VideoFrame, stream: VideoStream) -> Fraction | None:
    """Seconds, exact; None where neither container nor codec tells."""
    return None if frame.pts is None else frame.pts * tick(stream)


def tick(stream: VideoStream) -> Fraction:
    """The unit of the stream's timestamps in seconds."""
    return stream.time_base or Fraction(1, 1000)


def frame_rate(stream: VideoStream) -> Fraction:
    """Frames a second on average, where the container tells or it can be guessed."""
    return stream.average_rate or stream.guessed_rate or DEFAULT_RATE


def _frame(renderer: Renderer, picture: Picture, seq: int, pts: Fraction) -> Frame:
    began = time.monotonic()
    rendered = renderer.render(picture.frame)
    return Frame(
        pixels=rendered.pixels,
        seq=seq,
        pts=pts,
        size=rendered.size,
        original=rendered.original,
        arrived=picture.arrived,
        decode=picture.seconds + time.monotonic() - began,
        decoder=rendered.decoder,
        damaged=picture.frame.is_corrupt,
    )


def _seek(container: InputContainer, stream: VideoStream, start: Fraction | None) -> None:
    if start is not None:
        container.seek(int(start / tick(stream)), stream=stream)
