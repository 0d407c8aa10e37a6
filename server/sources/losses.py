"""Counts losses in decoding, so that a damaged video is not mistaken for an intact one."""

from __future__ import annotations

from collections.abc import Iterable

from av.packet import Packet
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from server.frame import Losses


class Tally:
    """Counts of one stream's packets and pictures.

    A decoder raises errors for some damaged packets, conceals the damage of others with earlier
    pictures, and silently skips pictures whose references are missing.
    """

    def __init__(self) -> None:
        self._undecodable = 0
        self._damaged = 0
        self._pictures = 0
        self._fields = False

    def failed(self, packet: Packet[VideoStream] | None) -> None:
        """Count a packet that the decoder refused, unless it is the empty one that flushes it."""
        self._undecodable += packet is not None and packet.size > 0

    def add(self, frames: Iterable[VideoFrame]) -> None:
        """Count the pictures that the decoder returned."""
        for frame in frames:
            self._pictures += 1
            self._damaged += frame.is_corrupt
            self._fields |= frame.interlaced_frame

    def counted(self) -> tuple[int, int, int, bool]:
        """Return the counts for :meth:`take`."""
        return self._undecodable, self._damaged, self._pictures, self._fields

    def take(self, undecodable: int, damaged: int, pictures: int, fields: bool) -> None:
        """Set the counts to those of another process's tally."""
        self._undecodable, self._damaged = undecodable, damaged
        self._pictures, self._fields = pictures, fields

    def losses(self, packets: int | None) -> Losses:
        """Return the losses among ``packets`` with one picture each; None: their number is unknown.

        The two fields of an interlaced picture may be separate packets, so no picture counts as
        missing then.
        """
        expected = 0 if packets is None or self._fields else packets
        missing = max(0, expected - self._undecodable - self._pictures)
        return Losses(self._undecodable, self._damaged, missing)
