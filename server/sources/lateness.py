"""Whether a camera's pictures are decoded later and later, and which are then skipped."""

from __future__ import annotations

from fractions import Fraction

DRIFT = 1e-3
"""Seconds per second by which a camera's clock may run slow; beyond that, a delay is growing."""


SET = 1.0
"""In seconds. If a delay grows by this much more than the time that passes, the camera's clock was
set."""


class Lateness:
    """How far a camera's pictures have fallen behind, by their own times and the clock here.

    If this machine is too slow, pictures wait in the network's buffers, invisibly. The smallest
    distance between both clocks counts as no delay. Time is passed in. ``limit`` is the delay in
    seconds beyond which pictures are skipped, all but one per ``limit`` seconds.
    """

    def __init__(self, limit: float) -> None:
        self._limit = limit
        self._floor: float | None = None
        self._distance = 0.0
        self._now = 0.0
        self._taken: float | None = None

    def behind(self, shown: Fraction | None, now: float) -> float:
        """Return the delay in seconds of a picture that is ``shown`` at that time of its stream."""
        if shown is None:
            return 0.0
        distance = now - float(shown)
        if self._floor is None:
            self._floor, self._distance, self._now = distance, distance, now
        passed, grown = now - self._now, distance - self._distance
        self._floor += grown if grown > passed + SET else DRIFT * passed
        self._floor = min(self._floor, distance)
        self._distance, self._now = distance, now
        return distance - self._floor

    def passes_over(self, shown: Fraction | None, now: float) -> bool:
        """Return whether to skip the picture, so that newer ones come sooner."""
        late = self.behind(shown, now) > self._limit
        if late and self._taken is not None and now - self._taken < self._limit:
            return True
        self._taken = now
        return False
