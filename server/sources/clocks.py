"""Which of a decoded picture's two timestamps tells when it is shown."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

REORDERED = 16
"""Pictures. No codec moves one further between decoding and showing it."""

FAULTS = 2
"""So many of the last REORDERED pictures out of order are no accident."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """Seconds, exact; None where the container does not tell. ``pts`` is that of the picture's own
    packet, ``dts`` that of the packet which brought it out of the decoder."""

    pts: Fraction | None
    dts: Fraction | None = None


class Clocks:
    """Chooses between both for one stream, as FFmpeg's best effort does.

    ``pts`` is right unless the container (AVI, VfW in Matroska) keeps times in the order of
    decoding: then it falls again and again by a few pictures where ``dts`` rises, and ``dts`` is
    right for the whole stream. A single fault or a fall by more is a wrong time, not an order.
    Its state: the last stamp, what was at fault of late, and whether ``dts`` was chosen.
    """

    def __init__(self, step: Fraction) -> None:
        self._near = REORDERED * step
        self._last = Stamp(None)
        self._faults: deque[tuple[bool, bool]] = deque(maxlen=REORDERED)
        self._decoding_order = False

    def see(self, stamp: Stamp) -> None:
        """Take note of the next picture's stamp, before its time is asked for."""
        self._faults.append(
            (self._fell(self._last.pts, stamp.pts), self._fell(self._last.dts, stamp.dts))
        )
        self._last = stamp
        pts, dts = (sum(kind) for kind in zip(*self._faults, strict=True))
        self._decoding_order |= FAULTS <= pts > dts and stamp.dts is not None

    def time(self, stamp: Stamp) -> Fraction | None:
        """When this picture is shown, as far as is known by now."""
        if self._decoding_order or stamp.pts is None:
            return stamp.dts
        return stamp.pts

    def _fell(self, before: Fraction | None, now: Fraction | None) -> bool:
        return before is not None and now is not None and 0 <= before - now <= self._near
