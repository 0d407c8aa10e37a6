"""The current state of a stream in one line. Time is passed in."""

from __future__ import annotations

from collections import deque
from statistics import median

from clients.python.ledger import Ledger

SPAN_SECONDS = 2.0


class Meter:
    """The masks of the last two seconds: when each arrived, and its round trip in seconds."""

    def __init__(self) -> None:
        self._recent: deque[tuple[float, float]] = deque()
        self._began: float | None = None

    def add(self, now: float, round_trip: float) -> None:
        if self._began is None:
            self._began = now
        self._recent.append((now, round_trip))
        self._forget(now)

    def rate(self, now: float) -> float:
        """Return masks per second, over the last two seconds or the time since the first mask."""
        self._forget(now)
        span = min(SPAN_SECONDS, now - (now if self._began is None else self._began))
        return len(self._recent) / span if span > 0 else 0.0

    def latency(self) -> float:
        """Return the median round trip in seconds, 0 if there was no mask recently."""
        return median(trip for _, trip in self._recent) if self._recent else 0.0

    def line(self, now: float, ledger: Ledger, skipped: int = 0) -> str:
        """Return the state in one line. ``skipped`` frames were replaced by newer ones before they
        were sent."""
        drops = ", ".join(f"{cause} {count}" for cause, count in ledger.dropped.items() if count)
        parts = [
            f"{self.rate(now):5.1f} frames/s",
            f"latency {self.latency() * 1000:.0f} ms",
            f"{ledger.masks} masks",
            f"dropped {ledger.dropped.total()}" + (f" ({drops})" if drops else ""),
        ]
        parts += [f"failed {ledger.failed}"] if ledger.failed else []
        parts += [f"skipped {skipped}"] if skipped else []
        return "   ".join(parts)

    def _forget(self, now: float) -> None:
        while self._recent and self._recent[0][0] < now - SPAN_SECONDS:
            self._recent.popleft()
