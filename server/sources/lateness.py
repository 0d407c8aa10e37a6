"""Whether a camera's pictures are decoded later and later, and which are passed over then."""

from __future__ import annotations

from fractions import Fraction

DRIFT = 1e-3
"""Seconds per second by which a camera's clock may run slow; more is a delay that grows."""


SET = 1.0
"""Seconds. A delay that grows by so much more than the time that passes is a clock that was set."""


class Lateness:
    """How far a camera's pictures have fallen behind, by their own times and the clock here.

    What this machine is too slow for waits in the network's buffers, unseen. The smallest distance
    between both clocks is that of no delay. Time is passed in. ``limit`` is the delay in
    seconds past which pictures are passed over, all but one in so many seconds.
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
        """Return whether the picture is one to leave out, so that newer ones come sooner."""
        late = self.behind(shown, now) > self._limit
        if late and self._taken is not None and now - self._taken < self._limit:
            return True
        self._taken = now
        return False
