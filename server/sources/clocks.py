"""Which of a decoded picture's two timestamps is its presentation time."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from fractions import Fraction

REORDERED = 16
"""In pictures; no codec reorders by more between decoding and display."""

FAULTS = 2
"""If this many of the last REORDERED pictures are out of order, it is not an accident."""


@dataclass(frozen=True, slots=True)
class Stamp:
    """A picture's timestamps in exact seconds, None if the container has none.

    ``pts`` is from the picture's own packet, ``dts`` from the packet at which the decoder returned
    the picture.
    """

    pts: Fraction | None
    dts: Fraction | None = None


class Clocks:
    """Chooses between both for one stream, like FFmpeg's best-effort timestamp.

    ``pts`` is right unless the container (AVI, VfW in Matroska) stores times in decoding order:
    then it repeatedly falls by a few pictures while ``dts`` rises, and ``dts`` is right for the
    whole stream. A single fall, or a larger one, is a wrong time and not another order. Mutable
    state: the last stamp, which of both fell recently, and whether ``dts`` was chosen.
    """

    def __init__(self, step: Fraction) -> None:
        self._near = REORDERED * step
        self._last = Stamp(None)
        self._faults: deque[tuple[bool, bool]] = deque(maxlen=REORDERED)
        self._decoding_order = False

    def see(self, stamp: Stamp) -> None:
        """Record the next picture's stamp; call it before :meth:`time`."""
        self._faults.append(
            (self._fell(self._last.pts, stamp.pts), self._fell(self._last.dts, stamp.dts))
        )
        self._last = stamp
        pts, dts = (sum(kind) for kind in zip(*self._faults, strict=True))
        self._decoding_order |= FAULTS <= pts > dts and stamp.dts is not None

    def time(self, stamp: Stamp) -> Fraction | None:
        """Return the picture's presentation time, as far as it is known so far."""
        if self._decoding_order or stamp.pts is None:
            return stamp.dts
        return stamp.pts

    def _fell(self, before: Fraction | None, now: Fraction | None) -> bool:
        return before is not None and now is not None and 0 <= before - now <= self._near
