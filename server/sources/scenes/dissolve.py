"""Whether one scene has slowly become another: the pictures in between are mixtures of both.

Movement, covering and zooming change a picture as much, but through pictures that are not mixtures.
It needs times: without them, and at one picture per second, no dissolve is found.
"""

from __future__ import annotations

from fractions import Fraction
from typing import TypeAlias

import numpy as np

from server.sources.scenes.scene_distance import Floats, Look, distance

Trace: TypeAlias = tuple[tuple[Fraction | float, Look], ...]
"""Pictures of the last seconds with their times, oldest first: the state, empty at the start."""

STEP = 0.2
"""Minimum seconds between two pictures of the trace."""

LENGTH = 8
"""Number of pictures in the trace, enough to find most dissolves of up to 1.5 s."""

APART = 0.5
"""Minimum distance between the scenes before and after."""

MIXED = (0.2, 0.8)
"""Share of the new scene in a picture that is counted as a mixture."""

REST = 0.25
"""Maximum part of such a picture that is not explained by a mixture, relative to the scenes'
difference. For something that moves or covers the picture it is 0.5."""


def follow(trace: Trace, seen: Look, pts: Fraction | float | None) -> tuple[Trace, bool]:
    """Return the trace with the next picture, and whether a dissolve has ended, or nearly so."""
    if pts is None:
        return (), False
    if trace and not 0 <= pts - trace[-1][0] < 2 * LENGTH * STEP:
        return ((pts, seen),), False
    if trace and pts - trace[-1][0] < STEP:
        return trace, False
    trace = (*trace, (pts, seen))[-LENGTH:]
    if has_dissolved([look for _, look in trace]):
        return ((pts, seen),), True
    return trace, False


def has_dissolved(looks: list[Look]) -> bool:
    """Return whether the first picture became the last one by way of mixtures."""
    between = looks[1:-1]
    change = looks[-1].blocks - looks[0].blocks
    found = [_fit(look.blocks - looks[0].blocks, change) for look in between]
    mixtures = [rest for share, rest in found if MIXED[0] < share < MIXED[1]]
    if not mixtures or max(mixtures) > REST:
        return False
    return distance(looks[0], looks[-1]) > APART


def _fit(part: Floats, change: Floats) -> tuple[float, float]:
    """Return the share of the change that explains this part best, and the remainder."""
    size = float(np.vdot(change, change)) + 1
    share = float(np.vdot(part, change)) / size
    return share, float(np.linalg.norm(part - np.float32(share) * change)) / size**0.5
