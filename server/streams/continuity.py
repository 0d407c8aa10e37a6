"""One stream out of many connections: rising numbers and times, and when to empty the memory.

State in, state out; no clock. After a pause, a new connection, a change of size or a scene cut, the
memory describes something else.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from server.frame import Frame, ResetCause
from server.streams.definition import StreamDefinition

EARLY = Fraction(1, 10)
"""Share of the period of ``max_fps`` by which a frame may be early and still counts."""

LEAST_RISE = Fraction(1, 1000)
"""Seconds by which the first picture of a connection is at least later than the last one before."""


@dataclass(frozen=True, slots=True)
class Continuity:
    """The state of the stream so far.

    ``shift`` is added to the times of this ``connection``; ``pts`` and ``arrived`` are those of the
    last frame that was taken, ``due`` is when the next one may be taken. ``seen`` is when the last
    frame arrived, taken or not, and ``pending`` is the reason for emptying the memory before the
    next frame that is taken.
    """

    connection: int = 0
    seq: int = -1
    pts: Fraction | None = None
    arrived: float = 0.0
    shift: Fraction = Fraction(0)
    size: tuple[int, int] = (0, 0)
    due: Fraction | None = None
    seen: float = 0.0
    pending: ResetCause | None = None


@dataclass(frozen=True, slots=True)
class Placed:
    """A frame with its place in the stream, and the reason for emptying the memory before it, if
    any."""

    frame: Frame
    reset: ResetCause | None


def follow(
    before: Continuity, frame: Frame, connection: int, is_cut: bool, asked: StreamDefinition
) -> tuple[Continuity, Placed | None]:
    """Return the stream with this frame, and the frame in it; None if ``max_fps`` skips it.

    Times rise across connections: the first picture of a new connection follows the last one by as
    much as it arrived later.
    """
    shift = _shift(before, frame, connection)
    pts = (frame.pts or Fraction(0)) + shift
    cause = before.pending or _cause(before, frame, connection, is_cut, asked)
    now = replace(
        before,
        connection=connection,
        shift=shift,
        size=frame.size,
        seen=max(before.seen, frame.arrived),
        pending=cause,
    )
    if not _is_due(before, pts, asked):
        return now, None
    now = replace(
        now,
        seq=before.seq + 1,
        pts=pts,
        arrived=frame.arrived,
        due=_next_due(before, pts, asked),
        pending=None,
    )
    return now, Placed(replace(frame, seq=now.seq, pts=pts), cause)


def _shift(before: Continuity, frame: Frame, connection: int) -> Fraction:
    if connection == before.connection or before.pts is None:
        return before.shift
    elapsed = Fraction(round((frame.arrived - before.arrived) * 1000), 1000)
    return before.pts + max(elapsed, LEAST_RISE) - (frame.pts or Fraction(0))


def _is_due(before: Continuity, pts: Fraction, asked: StreamDefinition) -> bool:
    if asked.max_fps is None or before.due is None:
        return True
    return pts >= before.due - EARLY / Fraction(asked.max_fps)


def _next_due(before: Continuity, pts: Fraction, asked: StreamDefinition) -> Fraction | None:
    if asked.max_fps is None:
        return None
    period = 1 / Fraction(asked.max_fps)
    due = pts if before.due is None else before.due
    # A stream that was slower than allowed may not catch up in a burst.
    return max(due + period, pts + period / 2)


def _cause(
    before: Continuity, frame: Frame, connection: int, is_cut: bool, asked: StreamDefinition
) -> ResetCause | None:
    if before.pts is None:
        return None
    reasons = (
        (connection != before.connection, asked.on_connect, ResetCause.CONNECTION),
        (frame.arrived - before.seen > asked.max_gap, asked.on_gap, ResetCause.GAP),
        (frame.size != before.size, asked.on_size, ResetCause.SIZE),
        (is_cut, asked.on_cut, ResetCause.CUT),
    )
    found = (cause for happened, policy, cause in reasons if happened and policy == "reset")
    return next(found, None)
