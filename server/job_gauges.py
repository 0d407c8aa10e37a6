"""The numbers of uploaded videos and of their pieces, for Prometheus."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from prometheus_client import CollectorRegistry, Gauge

from server.errors import MastreamError

Count = Callable[[], float]
"""May block, and raise MastreamError."""


class JobGauges:
    """Mutable state: the folder of the videos, and the sources of the numbers."""

    def __init__(self, registry: CollectorRegistry) -> None:
        self._jobs = Gauge(
            "mastream_jobs", "Uploaded videos", ["folder", "state"], registry=registry
        )
        self._pieces = Gauge(
            "mastream_pieces_held", "Pieces of videos segmented here", registry=registry
        )
        self._folder = ""
        self._counts: dict[str, Count] = {}
        self._count_pieces: Count = lambda: 0.0

    def watch(self, folder: str, counts: Mapping[str, Count], pieces: Count) -> None:
        """Report the number of jobs of a folder in each state, and of ``pieces`` that this server
        has.

        Servers that share a folder report the same jobs; its name allows to count them only once.
        """
        self._folder, self._counts, self._count_pieces = folder, dict(counts), pieces

    def total(self, *states: str) -> int:
        """Return how many jobs are in these states. May block, and raise MastreamError."""
        return sum(int(self._counts[one]()) for one in states if one in self._counts)

    def update(self) -> None:
        """Update all numbers; omit one whose count fails. May block."""
        for state, count in self._counts.items():
            try:
                self._jobs.labels(self._folder, state).set(count())
            except MastreamError:
                self._jobs.remove(self._folder, state)
        try:
            self._pieces.set(self._count_pieces())
        except MastreamError:
            self._pieces.set(math.nan)
