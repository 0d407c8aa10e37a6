"""When a frame of a pushed stream was in each of its eight stages. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import accumulate, pairwise

from server.frame import Mask

STAGES = ("wait", "decode", "queue", "gather", "step", "scatter", "encode", "send")
"""In order; each begins when the previous one ends."""


@dataclass(frozen=True, slots=True)
class Stage:
    """One stage of one frame; times are those of time.monotonic(), in seconds."""

    name: str
    began: float
    ended: float


def stages(mask: Mask, taken: float, packed: float, sent: float) -> tuple[Stage, ...]:
    """Return the eight stages of an answered frame, without gaps from its arrival to ``sent``.

    ``taken`` is when its mask was taken from the outbox, ``packed`` when its message was complete;
    both and ``sent`` are times of time.monotonic(), in seconds. ``queue`` includes the wait for
    room in the session, and ``scatter`` the wait in the outbox.
    """
    frame = mask.frame
    decoding = frame.arrived + frame.wait
    submitted, began, ended = mask.step
    instants = (
        frame.arrived,
        decoding,
        decoding + frame.decode,
        submitted,
        began,
        ended,
        taken,
        packed,
        sent,
    )
    # A stage that the frame skipped, such as the decoding of raw pictures, has no length.
    pairs = pairwise(accumulate(instants, max))
    return tuple(Stage(name, *pair) for name, pair in zip(STAGES, pairs, strict=True))
