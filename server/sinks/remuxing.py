"""Packets of finished video files, copied into one file; nothing is encoded again."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from fractions import Fraction
from pathlib import Path

import av
from av.container import OutputContainer
from av.packet import Packet
from av.video.stream import VideoStream

from server.errors import Fault


def copy_packets(
    parts: Sequence[Path],
    container: OutputContainer,
    stream: VideoStream,
    tick: Fraction,
    unit: Fraction,
) -> None:
    """Append the packets of all parts, which are not reordered, to a stream and close the file.

    Times are whole ticks of ``tick`` seconds in the parts, and the same number of ``unit`` seconds
    in the stream. A packet lasts until the next one, also across parts; the last one keeps its
    duration. Raises Fault if the parts were not encoded alike.
    """
    last: Packet[VideoStream] | None = None
    for packet, ticks, shown in _packets(parts, tick):
        packet.stream, packet.time_base = stream, unit
        packet.pts = packet.dts = ticks
        packet.duration = shown
        if last is not None:
            last.duration = ticks - (last.pts or 0)
            container.mux(last)
        last = packet
    if last is not None:
        container.mux(last)
    container.close()


def link(part: Path, path: Path) -> None:
    """Make ``path`` the same file as ``part``, or a copy if the file system has no links."""
    try:
        path.hardlink_to(part)
    except OSError:
        shutil.copyfile(part, path)


def check_alike(private: bytes | None, other: bytes | None) -> None:
    """Raise Fault if streams with this private data cannot share one header."""
    if private != other:
        raise Fault("The pieces of a video were encoded differently: upload the video again.")


def private_data(part: Path) -> bytes | None:
    """Return the data that a decoder needs besides the packets of a file."""
    with av.open(part) as source:
        return source.streams.video[0].codec_context.extradata


def _packets(
    parts: Sequence[Path], tick: Fraction
) -> Iterator[tuple[Packet[VideoStream], int, int]]:
    """Yield each packet with its time and duration in ticks."""
    private = private_data(parts[0])
    for part in parts:
        with av.open(part) as source:
            stream = source.streams.video[0]
            check_alike(stream.codec_context.extradata, private)
            for packet in source.demux(stream):
                if packet.size:
                    base = Fraction(packet.time_base.numerator, packet.time_base.denominator)
                    assert packet.pts is not None, "every packet of a part has a time"
                    yield (
                        packet,
                        _whole(packet.pts * base / tick),
                        _whole((packet.duration or 0) * base / tick),
                    )


def _whole(ticks: Fraction) -> int:
    assert ticks.denominator == 1, f"{ticks} is no whole number of ticks"
    return ticks.numerator
