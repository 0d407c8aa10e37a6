"""When the packets of one connection arrived: for each picture, and for watchdogs."""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass

from server.sources.clocks import REORDERED

KEPT = 4 * REORDERED
"""Number of packets whose pictures may still be inside the decoder."""


@dataclass(frozen=True, slots=True)
class Arrival:
    """One packet: ``at`` is time.monotonic(), ``wall`` time.time(); ``camera`` is the camera's own
    wall clock when the picture was taken, None if the camera does not send it."""

    at: float
    wall: float
    camera: float | None = None


class Arrivals:
    """Counts packets and pictures, and finds the arrival of the packet that holds a picture.

    A decoder returns pictures in display order, which may differ from that of their packets; they
    are matched by their timestamps. ``passed_over`` counts pictures that were too late to be used.
    One thread calls the methods, any thread may read the fields.
    """

    def __init__(self) -> None:
        self.packets = 0
        self.frames = 0
        self.passed_over = 0
        self.fruitless = 0
        self.last_packet: float | None = None
        self.last_frame: float | None = None
        self._kept: OrderedDict[int | None, Arrival] = OrderedDict()
        self._newest = Arrival(0.0, 0.0)

    def packet(self, pts: int | None, arrival: Arrival) -> None:
        """Count a packet with data."""
        self.packets += 1
        self.fruitless += self.frames > 0
        self.last_packet = arrival.at
        self._newest = self._kept[pts] = arrival
        if len(self._kept) > KEPT:
            self._kept.popitem(last=False)

    def frame(self, pts: int | None, now: float) -> Arrival:
        """Count a picture; return the arrival of its packet, or of the newest one if no packet has
        its timestamp."""
        self.frames += 1
        self.fruitless = 0
        self.last_frame = now
        return self._kept.pop(pts, self._newest)
