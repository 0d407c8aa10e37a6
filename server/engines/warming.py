"""Warming up an engine: the first step of a batch size allocates and tunes, the next ones show its
duration."""

from __future__ import annotations

import time
from collections.abc import Collection

import numpy as np

from server.engines.base import Engine

TIMED_TWICE = 2
"""Up to this size the faster of two steps counts. Every other size is compared with a single frame,
so one slow step of that would change the lanes of every later video; larger ones take long."""


def warm_up(engine: Engine, sizes: Collection[int]) -> dict[int, float]:
    """Make a step of each batch size, then others of each size of :func:`buckets`; return the
    seconds of the latter. Raises the errors of a step.
    """
    for size in sizes:
        _step(engine, size)
    timed = [size for size in buckets(engine.max_batch) if size in sizes]
    seconds = {size: _seconds(engine, size) for size in timed}
    # Only now again, so that one pause of the machine slows down no more than one of the two.
    again = {size: _seconds(engine, size) for size in timed if size <= TIMED_TWICE}
    return {size: min(first, again.get(size, first)) for size, first in seconds.items()}


def buckets(max_batch: int) -> list[int]:
    """Return 1, 2, 4, ... and ``max_batch``: enough batch sizes to show the gain of batches."""
    powers = [2**n for n in range(max_batch.bit_length())]
    return sorted({*powers, max_batch})


def _seconds(engine: Engine, size: int) -> float:
    began = time.perf_counter()
    _step(engine, size)
    return time.perf_counter() - began


def _step(engine: Engine, size: int) -> None:
    frame = np.zeros((engine.spec.height, engine.spec.width, 3), np.uint8)
    engine.step([frame] * size, [engine.blank()] * size)
