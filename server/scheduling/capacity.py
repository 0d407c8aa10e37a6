"""How many frames an engine can segment per second: from its steps, those of its warm-up first.

It has no clock: the times of steps are passed in.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from statistics import median

REMEMBERED = 64
"""Number of steps that are kept per batch size; their median is the time of a step."""

RECENT_SECONDS = 10.0
"""Seconds over which the use is averaged."""

MAX_RECENT = 10_000


@dataclass(frozen=True, slots=True)
class StepTime:
    """The median time of a step of ``size`` frames, in seconds."""

    size: int
    seconds: float

    @property
    def rate(self) -> float:
        """Return the frames per second of steps of this size."""
        return self.size / self.seconds


@dataclass(frozen=True, slots=True)
class Capacity:
    """The capacity of an engine. ``rate`` is in frames per second, ``gain`` the speed in its best
    batches divided by the speed one by one, ``used`` the recent number of frames per second,
    ``busy`` the share of time in which it computed (0 to 1). If no step was timed yet, ``rate`` and
    ``gain`` are 0.0; ``gain`` is 1.0 until steps of one frame and of more were timed."""

    steps: tuple[StepTime, ...]
    rate: float
    gain: float
    used: float
    busy: float

    @property
    def left(self) -> float:
        """Return the frames per second that can still be added."""
        return max(0.0, self.rate * (1 - self.busy))


class StepTimes:
    """The steps of one engine. Mutable state: the last durations by size, and the recent steps."""

    def __init__(self) -> None:
        self._by_size: dict[int, deque[float]] = {}
        self._recent: deque[tuple[float, int, float]] = deque(maxlen=MAX_RECENT)

    def __repr__(self) -> str:
        return f"<StepTimes {sorted(self._by_size)}>"

    def observe(self, size: int, began: float, ended: float) -> None:
        """Record a step of ``size`` frames."""
        self._by_size.setdefault(size, _remembered()).append(ended - began)
        self._recent.append((ended, size, ended - began))

    def start(self, warm_up: Mapping[int, float]) -> None:
        """Start anew: another engine serves, whose steps took these seconds by batch size while it
        was warmed up."""
        self._by_size = {size: _remembered(seconds) for size, seconds in warm_up.items()}
        self._recent.clear()

    def capacity(self, now: float) -> Capacity:
        """Return the engine's capacity according to its steps so far."""
        steps = tuple(
            StepTime(size, max(median(times), 1e-6))
            for size, times in sorted(self._by_size.items())
        )
        rate = max((step.rate for step in steps), default=0.0)
        since = now - RECENT_SECONDS
        recent = [(size, seconds) for ended, size, seconds in self._recent if ended > since]
        return Capacity(
            steps=steps,
            rate=rate,
            gain=_gain(steps, rate),
            used=sum(size for size, _ in recent) / RECENT_SECONDS,
            busy=min(1.0, sum(seconds for _, seconds in recent) / RECENT_SECONDS),
        )


def _remembered(*seconds: float) -> deque[float]:
    return deque(seconds, maxlen=REMEMBERED)


def _gain(steps: tuple[StepTime, ...], rate: float) -> float:
    if not steps:
        return 0.0
    return rate / steps[0].rate if steps[0].size == 1 else 1.0
