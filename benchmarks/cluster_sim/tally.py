"""The counts of a run: takeovers, attempts, and statements by the second."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np


class Takeovers(NamedTuple):
    """Seconds without a server, over all streams that lost their server."""

    p50: float
    p99: float
    longest: float


def takeovers(gaps: Sequence[float]) -> Takeovers:
    """Return the p50, the p99 and the longest of some gaps; zeros if there are none."""
    if not gaps:
        return Takeovers(0.0, 0.0, 0.0)
    p50, p99 = np.percentile(gaps, [50, 99])
    return Takeovers(float(p50), float(p99), max(gaps))


@dataclass(slots=True)
class Tally:
    """Mutable state: ``gaps`` in seconds, one for each stream taken; the most servers that tried
    one row at once; ``takes`` and ``writes`` by the second of virtual time."""

    gaps: list[float] = field(default_factory=list)
    attempts: int = 0
    herd: int = 0
    takes: Counter[int] = field(default_factory=Counter)
    writes: Counter[int] = field(default_factory=Counter)

    def add_take(self, now: float, gap: float, tried: int) -> None:
        """Count a stream that was taken at ``now``; ``tried`` servers wanted it at that moment."""
        self.gaps.append(gap)
        self.attempts += tried
        self.herd = max(self.herd, tried)
        self.takes[int(now)] += 1
        self.writes[int(now)] += tried

    @property
    def takeovers(self) -> Takeovers:
        """Return the p50, the p99 and the longest gap; zeros if nothing was taken."""
        return takeovers(self.gaps)

    @property
    def busiest_takes(self) -> int:
        """Return the takes in the second that had the most."""
        return max(self.takes.values(), default=0)

    @property
    def busiest_writes(self) -> int:
        """Return the writing statements in the second that had the most."""
        return max(self.writes.values(), default=0)
