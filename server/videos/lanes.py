"""How many pieces of a video are worth segmenting at the same time: measured, not guessed."""

from __future__ import annotations

from collections.abc import Iterable

from server.engines.info import EngineInfo

GAIN = 1.1
"""By which factor a larger batch must be faster to be worth its memory."""


def lanes_for(engines: Iterable[EngineInfo]) -> int:
    """Return the number of lanes with which a video is finished soonest: the sum of the engines'
    best batches, according to the steps that were timed when they were warmed up. An engine whose
    steps were not timed gets one lane.
    """
    return sum(_best_batch(engine) for engine in engines)


def _best_batch(engine: EngineInfo) -> int:
    best, seconds_per_frame = 1, engine.step_seconds.get(1, 0.0)
    for size, seconds in sorted(engine.step_seconds.items()):
        if seconds / size * GAIN < seconds_per_frame:
            best, seconds_per_frame = size, seconds / size
    return best
