"""Presentation times that rise: what the container says, mended where it says nothing or lies."""

from __future__ import annotations

from fractions import Fraction

RESTART = Fraction(1)
"""Seconds. Falling back by more than this is a clock that began anew, less is disorder."""


class Timeline:
    """Stamps the pictures of one stream in the order in which they are shown.

    A time that rises is kept exactly. A missing one follows its predecessor by one frame. One
    that falls back a little is moved to one tick after its predecessor; one that falls back
    by more than RESTART (files joined end to end) goes on one frame after its predecessor,
    and so does the clock from there.
    """

    def __init__(self, rate: Fraction, tick: Fraction) -> None:
        self._step = 1 / rate
        self._tick = tick
        self._last: Fraction | None = None
        self._shift = Fraction(0)

    def stamp(self, pts: Fraction | None) -> Fraction:
        """The time of the next picture in seconds; strictly greater than the one before."""
        self._last = self._place(pts)
        return self._last

    def _place(self, pts: Fraction | None) -> Fraction:
        if self._last is None:
            return Fraction(0) if pts is None else pts
        if pts is None:
            return self._last + self._step
        shifted = pts + self._shift
        if shifted < self._last - RESTART:
            self._shift += self._last + self._step - shifted
            return self._last + self._step
        return max(shifted, self._last + self._tick) if shifted <= self._last else shifted
