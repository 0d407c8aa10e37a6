"""How much one connection may send: token buckets, so that no client starves the others."""

from __future__ import annotations

FRAMES_A_SECOND = 2000.0
"""Small WebSocket frames per second; a connection that sends more is closed. They take about 2 % of
a core."""

MESSAGES_A_SECOND = 500.0
MESSAGES_AT_ONCE = 100.0
"""Small messages per second of one stream; further ones wait unread. Each costs far more than its
size suggests."""

REQUESTS_A_SECOND = 200.0
REQUESTS_AT_ONCE = 50.0
"""HTTP requests per second of one connection; further ones wait."""

FREE_BYTES = 1024
"""Frames and messages of this size or more are free: the bandwidth limits them already."""


def small_cost(size: int) -> float:
    """Return the cost of a frame or message of ``size`` bytes: 1 if it is empty, 0 if large."""
    return max(0.0, 1.0 - size / FREE_BYTES)


class Allowance:
    """A bucket that earns ``rate`` tokens per second and holds at most ``burst``.

    Mutable state: the tokens left at the time of the last spending, below 0 if some were spent on
    credit. ``now`` is passed in.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def __repr__(self) -> str:
        return f"<Allowance {self._left:.1f} of {self._burst:g} at {self._at:.3f}>"

    def spend(self, cost: float, now: float) -> float:
        """Spend ``cost`` tokens, on credit if need be; return the seconds until they are earned.

        That is 0.0 if there were enough.
        """
        earned = max(0.0, now - self._at) * self._rate
        self._left = min(self._burst, self._left + earned) - cost
        self._at = now
        return max(0.0, -self._left / self._rate)
