"""The clock and the frame rate that a container's video stream names."""

from __future__ import annotations

from fractions import Fraction

from av.container import InputContainer
from av.video.stream import VideoStream

from server.sources.timeline import Rhythm, longest_pause

DEFAULT_RATE = Fraction(25)
"""Frames per second, for a stream that names no rate."""

MAX_RATE = 1000
"""Frames per second; a higher value is the container's tick, not a rate."""

TS_DISCONT = 0x200
"""AVFMT_TS_DISCONT of libavformat."""

GRAIN = 10_000
"""Fractions of a second that are fine enough for estimated times."""


def tick(stream: VideoStream) -> Fraction:
    """Return the unit of the stream's timestamps in seconds."""
    return exact(stream.time_base) or Fraction(1, 1000)


def exact(number: Fraction | None) -> Fraction | None:
    """Return a number of PyAV's as a Fraction, None if it is not set.

    From version 19 on PyAV has its own type for them, whose unset value is false.
    """
    return Fraction(number.numerator, number.denominator) if number else None


def named_rates(stream: VideoStream) -> list[Fraction]:
    """Return the frame rates that the container, the codec or FFmpeg's guess name; at least one."""
    named = map(exact, (stream.average_rate, stream.guessed_rate))
    return [rate for rate in named if rate and rate <= MAX_RATE] or [DEFAULT_RATE]


def jumpy(container: InputContainer) -> bool:
    """Return whether the clock of the container's format may jump."""
    return bool(container.format.flags & TS_DISCONT)


def rhythm(
    container: InputContainer, stream: VideoStream, rate: Fraction | None, live: bool = False
) -> Rhythm:
    """Return the Rhythm of a stream for its Timeline; ``rate`` overrides the stream's. The clock of
    a camera may be set at any time."""
    rate = rate or named_rates(stream)[0]
    parts = tick(stream).denominator
    while parts < GRAIN:
        parts *= 2
    return Rhythm(rate, Fraction(1, parts), longest_pause(rate, live or jumpy(container)))
