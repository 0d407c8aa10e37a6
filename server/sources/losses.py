"""Counts what decoding loses, so that nobody takes a damaged video for a whole one."""

from __future__ import annotations

from collections.abc import Iterable

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from server.frame import Losses


class Tally:
    """What became of one stream's packets. Its state is counts.

    A decoder raises for some damaged packets, fills the holes of others from earlier pictures, and
    passes over pictures whose references are missing without a word.
    """

    def __init__(self) -> None:
        self._undecodable = 0
        self._damaged = 0
        self._pictures = 0
        self._fields = False

    def failed(self, packet: Packet[VideoStream] | None) -> None:
        """Count a packet that the decoder refused; one that only flushes it holds nothing."""
        self._undecodable += packet is not None and packet.size > 0

    def add(self, frames: Iterable[VideoFrame]) -> None:
        """Count the pictures that came out."""
        for frame in frames:
            self._pictures += 1
            self._damaged += frame.is_corrupt
            self._fields |= frame.interlaced_frame

    def losses(self, packets: int | None) -> Losses:
        """Return what was lost of so many packets with a picture each; None if they are unknown.

        Two fields of an interlaced picture may be packets of their own: then none is missing.
        """
        expected = 0 if packets is None or self._fields else packets
        missing = max(0, expected - self._undecodable - self._pictures)
        return Losses(self._undecodable, self._damaged, missing)
