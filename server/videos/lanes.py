"""How many pieces of a video are worth segmenting at the same time: measured, not guessed."""

from __future__ import annotations

import logging
import math
from collections.abc import Sequence

import numpy as np

from protocol import DropPolicy
from server.errors import MastreamError
from server.frame import Dropped, Frame, Mask
from server.scheduling.session import Session
from server.sinks.base import Sink
from server.workers.serving import Serving
from server.workers.worker import Worker

STEPS = 2
"""Steps of each size that are timed; the fastest counts."""

GAIN = 1.1
"""How much faster frames must come for a larger batch to be worth its memory."""

_log = logging.getLogger(__name__)


async def measure_lanes(serving: Serving) -> int:
    """Return the number of lanes at which a video is done soonest: the best batch of each engine.

    Takes a few steps of the first engine in the background. Raises nothing: if nothing can be
    measured, it is one lane per engine.
    """
    worker = serving.workers[0]
    most = worker.engines[0].max_batch
    best, seconds = 1, await _seconds_per_frame(worker, 1)
    for size in _sizes(most):
        each = await _seconds_per_frame(worker, size)
        if each * GAIN < seconds:
            best, seconds = size, each
    _log.info("videos are segmented in %d lanes per engine", best)
    return best * len(serving.workers)


def _sizes(most: int) -> list[int]:
    """Return the batches to try: powers of two, and the largest one possible."""
    powers = [2**n for n in range(1, most.bit_length()) if 2**n < most]
    return [*powers, most] if most > 1 else []


async def _seconds_per_frame(worker: Worker, size: int) -> float:
    """Return the seconds per frame in steps of ``size`` frames; inf if there was no such step."""
    timing = _Timing(size)
    sessions: list[Session] = []
    try:
        while len(sessions) < size:
            opened = worker.open(timing, policy=DropPolicy.EVERY, window=STEPS, background=True)
            sessions.append(opened)
        for seq in range(STEPS):
            for session in sessions:
                worker.offer(session, _frame(worker, seq))
        for session in sessions:
            await worker.settled(session)
    except MastreamError as error:
        _log.warning("batches of %d frames are not measured: %s", size, error)
    finally:
        for session in sessions:
            worker.close(session)
    return timing.fastest / 1000 / size


def _frame(worker: Worker, seq: int) -> Frame:
    spec = worker.spec
    pixels = np.random.default_rng(seq).integers(0, 256, (spec.height, spec.width, 3), np.uint8)
    return Frame(pixels, seq)


class _Timing(Sink):
    """Keeps the milliseconds of the fastest step of one size."""

    def __init__(self, size: int) -> None:
        self._size = size
        self.fastest = math.inf

    def mask(self, mask: Mask) -> None:
        if mask.batch == self._size:
            self.fastest = min(self.fastest, mask.times.step)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        """Ignore them: they are not timed."""

    def failed(self, seq: int, error: Exception) -> None:
        """Ignore it: it is not timed."""
