"""What one connection may send: token buckets, so that no client stops the others."""

from __future__ import annotations

FRAMES_A_SECOND = 2000.0
"""Small WebSocket frames; a connection that sends more is closed. They take about 2 % of a core."""

MESSAGES_A_SECOND = 500.0
MESSAGES_AT_ONCE = 100.0
"""Small messages of one stream; more wait unread. Each costs far more than its bytes."""

REQUESTS_A_SECOND = 200.0
REQUESTS_AT_ONCE = 50.0
"""HTTP requests of one connection; more wait."""

FREE_BYTES = 1024
"""What is so large costs no more than its bytes do, and the bandwidth bounds those."""


def small_cost(size: int) -> float:
    """Return what a frame or message of so many bytes costs: 1 if it is empty, 0 if it is large."""
    return max(0.0, 1.0 - size / FREE_BYTES)


class Allowance:
    """``rate`` tokens a second, of which at most ``burst`` are saved up.

    Mutable state: the tokens left at the time of the last spending, below 0 if some are owed.
    ``now`` is passed in.
    """

    def __init__(self, rate: float, burst: float, now: float) -> None:
        self._rate = rate
        self._burst = burst
        self._left = burst
        self._at = now

    def __repr__(self) -> str:
        return f"<Allowance {self._left:.1f} of {self._burst:g} at {self._at:.3f}>"

    def spend(self, cost: float, now: float) -> float:
        """Spend ``cost`` tokens; return the seconds until they are earned, 0.0 if they were there.

        What was not there is owed.
        """
        earned = max(0.0, now - self._at) * self._rate
        self._left = min(self._burst, self._left + earned) - cost
        self._at = now
        return max(0.0, -self._left / self._rate)
