"""The packets of one video stream, of a file or of a camera."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Iterator
from sys import byteorder
from typing import Any, cast

from av.container import InputContainer
from av.error import InvalidDataError
from av.packet import Packet
from av.video.stream import VideoStream

from server.errors import SourceFault, SourceSilent
from server.sources.arrivals import Arrivals
from server.sources.camera_faults import silent

FRUITLESS = 50
"""Number of consecutive packets without a picture: more than the longest delay of a decoder."""


def demuxed(container: InputContainer, *streams: VideoStream) -> Iterator[Packet[Any]]:
    """Yield the packets of these streams, by default of all streams that existed at the beginning.

    For a packet of a stream that begins later (FLV, MPEG-TS), PyAV reads beyond the list of the
    streams and may raise IndexError. That packet is useless, and reading continues after it.
    """
    while True:
        try:
            yield from container.demux(*streams)
            return
        except IndexError:
            continue


def packets(container: InputContainer, stream: VideoStream) -> Iterator[Packet[VideoStream] | None]:
    """Yield the stream's packets, and finally one that flushes the decoder; a damaged end of a file
    counts as its end."""
    try:
        yield from demuxed(container, stream)
    except InvalidDataError:
        yield None


def packets_from(
    container: InputContainer, stream: VideoStream, pts: int, dts: int | None
) -> Iterator[Packet[VideoStream] | None]:
    """Yield the packets from the key frame with these timestamps (ticks) on, as :func:`packets`.

    All earlier packets must be shown before it. Raises SourceFault if it is not found, also by
    its decoding time, by which some formats seek.
    """
    for target in (pts, dts):
        if target is None:
            continue
        container.seek(target, stream=stream)
        came = packets(container, stream)
        for packet in came:
            if packet is None or (packet.pts is not None and packet.pts >= pts):
                break
        if packet is not None and packet.pts == pts and packet.is_keyframe:
            yield packet
            yield from came
            return
    raise SourceFault("A key frame of the video was not found again: its file has changed.")


def live_packets(
    container: InputContainer, stream: VideoStream, timeout: float, left: Callable[[], bool]
) -> Iterator[Packet[VideoStream]]:
    """Yield the stream's packets as they arrive, until ``left`` returns true.

    Raises SourceSilent if nothing arrives for ``timeout`` seconds, or only other streams such as
    sound. If the parser still waits for the end of a picture then, that picture is discarded, since
    it is too old.
    """
    last = began = time.monotonic()
    for packet in demuxed(container):
        now = time.monotonic()
        if now - began >= timeout:
            raise silent(timeout)
        if left():
            return
        if packet.stream is stream:
            last = now
            yield cast("Packet[VideoStream]", packet)
        elif now - last >= timeout:
            raise SourceSilent(f"The source sent no picture for {timeout:g} s, only sound or data.")
        began = time.monotonic()


def while_fruitful(
    came: Iterable[Packet[VideoStream]], arrivals: Arrivals
) -> Iterator[Packet[VideoStream]]:
    """Yield the packets as long as they produce pictures.

    Raises SourceFault if FRUITLESS packets produce no picture after there were some: the codec may
    have changed, so a new connection, with a new decoder, may do better. Before the first picture
    there may be any number, since a key frame may be far away.
    """
    for packet in came:
        if arrivals.fruitless >= FRUITLESS:
            raise SourceFault(
                "The source's packets can no longer be decoded; did its codec change?"
            )
        yield packet


def camera_time(packet: Packet[VideoStream]) -> float | None:
    """Return when the picture was taken by the camera's own clock, in seconds since 1970; None if
    the camera does not send its clock's time (RTSP: in RTCP's sender reports), or has not sent it
    yet."""
    if not packet.has_sidedata("prft"):
        return None
    return int.from_bytes(bytes(packet.get_sidedata("prft"))[:8], byteorder, signed=True) / 1e6
