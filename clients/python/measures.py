"""Measurements of streams: times by stage, and the frames by outcome. No I/O, no clock."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np

import protocol
from clients.python.ledger import Ledger
from clients.python.mask import Mask

STAGES = (*protocol.STAGES, "server", "network", "round_trip")
"""The server's stages, their sum, the time in transit in both directions, and the total."""

QUANTILES = (50, 95, 99)


@dataclass(slots=True)
class Times:
    """Milliseconds by stage, one entry per mask."""

    samples: dict[str, list[float]] = field(default_factory=lambda: {name: [] for name in STAGES})

    def add(self, mask: Mask) -> None:
        ms, whole = mask.header.ms, mask.round_trip * 1000
        own = [getattr(ms, name) for name in protocol.STAGES]
        values = (*own, ms.total, max(0.0, whole - ms.total), whole)
        for name, value in zip(STAGES, values, strict=True):
            self.samples[name].append(value)

    def join(self, others: Iterable[Times]) -> Times:
        """Return the times of this and all ``others`` together."""
        joined = Times({name: list(values) for name, values in self.samples.items()})
        for other in others:
            for name, values in other.samples.items():
                joined.samples[name].extend(values)
        return joined

    def summary(self) -> dict[str, dict[str, float]]:
        """Return p50, p95, p99, max and mean of each stage; empty if nothing was measured."""
        return {name: quantiles(values) for name, values in self.samples.items() if values}


def quantiles(values: Sequence[float]) -> dict[str, float]:
    found = np.percentile(values, QUANTILES)
    named = {f"p{q}": float(value) for q, value in zip(QUANTILES, found, strict=True)}
    named |= {"max": float(max(values)), "mean": float(np.mean(values))}
    return {name: round(value, 3) for name, value in named.items()}


@dataclass(frozen=True, slots=True)
class Outcome:
    """The frames of one or more streams, counted by outcome."""

    sent: int = 0
    masks: int = 0
    failed: int = 0
    dropped: Counter[str] = field(default_factory=Counter)
    unanswered: int = 0
    doubled: int = 0

    @classmethod
    def of(cls, ledgers: Iterable[Ledger]) -> Outcome:
        total = cls()
        for ledger in ledgers:
            total = cls(
                total.sent + ledger.sent,
                total.masks + ledger.masks,
                total.failed + ledger.failed,
                total.dropped + ledger.dropped,
                total.unanswered + ledger.unanswered,
                total.doubled + ledger.doubled + ledger.unknown,
            )
        return total

    @property
    def answered_once(self) -> bool:
        """Whether every frame was answered exactly once."""
        return self.unanswered == self.doubled == 0

    def to_dict(self) -> dict[str, Any]:
        return {
            "sent": self.sent,
            "masks": self.masks,
            "failed": self.failed,
            "dropped": dict(self.dropped),
            "unanswered": self.unanswered,
            "doubled": self.doubled,
            "answered_once": self.answered_once,
        }
