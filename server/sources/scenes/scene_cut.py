"""Whether a picture begins another scene: state in, state out, 0.1 to 0.4 ms per picture.

A cut is a picture further from the last than a threshold, which follows how far recent pictures
were apart and how long ago the last one was. A dissolve is reported near its end. Two kinds of
picture are not compared with the next:

* A picture that is all black or white shows no scene. The last picture before it is kept instead: a
  fade through black is one cut if another scene follows, and no cut if the same scene does.
* A picture that is only brighter than the last may be lit by a flash. A cut is reported once it
  lasts longer than a flash.

A picture that is nearly the same as one of the last 0.2 s takes little time: it is not compared in
full.

On real clips joined at random places it finds all cuts at 25 and 5 pictures per second and nothing
else; at one per second, 90 % (``python -m benchmarks.scene_cuts``).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from fractions import Fraction

from server.frame import Pixels
from server.sources.scenes.dissolve import Trace, follow
from server.sources.scenes.scene_distance import (
    Look,
    distance,
    is_brighter,
    is_much_the_same,
    look_at,
)

LEAST = 0.16
"""The minimum distance of a cut at 5 pictures per second or more."""

LEAST_SLOW = 0.5
"""The same for pictures a second or more apart, which differ more even within a scene."""

FAST, SLOW = 0.2, 1.0
"""Seconds between two pictures for which the two limits apply."""

MARGIN = 0.7
"""By how much the distance at a cut exceeds the usual distance."""

WEIGHT = 0.25
"""Weight of the newest picture in the usual distance."""

MUCH_THE_SAME = -0.5
"""The distance that is assumed for a picture of which only a small part has changed; computed in
full, it would be less."""

UNKNOWN = -0.1
"""The minimum usual distance of a new scene: it may be a restless one."""

FLASH_PICTURES = 2
"""Maximum number of pictures that a flash lights."""


@dataclass(frozen=True, slots=True, eq=False)
class SceneCut:
    """The state of a stream so far.

    ``last`` is the picture that the next one is compared with, ``pts`` its time in seconds.
    ``usual`` is the mean distance of recent pictures, and ``flashed`` how many pictures since
    ``last`` may have been lit by a flash. ``trace`` holds the last 1.6 s, for dissolves.
    """

    last: Look | None = None
    pts: Fraction | float | None = None
    usual: float = UNKNOWN
    flashed: int = 0
    trace: Trace = ()


def look(
    state: SceneCut, pixels: Pixels, pts: Fraction | float | None = None
) -> tuple[SceneCut, bool]:
    """Return the state after the next picture, and whether the picture begins another scene.

    ``pixels`` are RGB of (H, W, 3), always of the same size, in host memory. A stream's first
    picture is not a cut. After a reset for another reason, begin with a new state.
    """
    seen = look_at(pixels)
    if seen.is_blank:
        return state, False
    if state.last is None:
        return SceneCut(seen, pts), False
    if _is_soon(state.pts, pts) and is_much_the_same(state.last, seen):
        return replace(state, usual=_usual(state, MUCH_THE_SAME), flashed=0), False
    apart = distance(state.last, seen)
    if apart <= _threshold(state, pts):
        trace, dissolved = follow(state.trace, seen, pts)
        return SceneCut(seen, pts, _usual(state, apart), trace=trace), dissolved
    if state.flashed < FLASH_PICTURES and is_brighter(state.last, seen):
        return replace(state, flashed=state.flashed + 1), False
    return SceneCut(seen, pts, max(state.usual, UNKNOWN)), True


def _usual(state: SceneCut, apart: float) -> float:
    """Return the usual distance after one more."""
    return state.usual + WEIGHT * (apart - state.usual)


def _is_soon(earlier: Fraction | float | None, later: Fraction | float | None) -> bool:
    return earlier is not None and later is not None and 0 <= later - earlier < FAST


def _threshold(state: SceneCut, pts: Fraction | float | None) -> float:
    """Return the distance that only a cut exceeds."""
    return max(_least(state.pts, pts), state.usual + MARGIN)


def _least(earlier: Fraction | float | None, later: Fraction | float | None) -> float:
    if earlier is None or later is None:
        return LEAST
    late = (float(later - earlier) - FAST) / (SLOW - FAST)
    return LEAST + (LEAST_SLOW - LEAST) * min(max(late, 0.0), 1.0)
