"""Which of a decoded picture's two timestamps is its presentation time."""

from __future__ import annotations

from collections.abc import Sequence
from fractions import Fraction

import pytest

from server.sources.clocks import Clocks, Stamp

STEP = Fraction(1)
Times = Sequence[int | None]


def chosen(pts: Times, dts: Times) -> list[Fraction | None]:
    """Return the time that the clocks choose for each stamp once all have been seen."""
    clocks = Clocks(STEP)
    stamps = [
        Stamp(*(None if time is None else Fraction(time) for time in pair))
        for pair in zip(pts, dts, strict=True)
    ]
    for stamp in stamps:
        clocks.see(stamp)
    return [clocks.time(stamp) for stamp in stamps]


RISING: Times = range(8)
CASES: dict[str, tuple[Times, Times, Times]] = {
    "in order": (RISING, (0, 1, 2, 3, 4, 5, None, None), RISING),
    "only decoding times": ([None] * 8, RISING, RISING),
    "some presentation times": ((0, None, 2, None), (0, 1, 2, 3), (0, 1, 2, 3)),
    "no times": ([None] * 3, [None] * 3, [None] * 3),
    "decoding order": ((0, 3, 2, 4, 1, 7, 6, 8), RISING, RISING),
    "its last ones are not told": (
        (0, 3, 2, 4, 1, 7, 6, 5), (0, 1, 2, 3, 4, 5, None, None), (0, 1, 2, 3, 4, 5, None, None),
    ),
    "a single fault": ((0, 1, 1, 3, 4, 5, 6, 7), RISING, (0, 1, 1, 3, 4, 5, 6, 7)),
    "two wrong times": ((0, 900, 2, 3, -900, 5, 6, 7), RISING, (0, 900, 2, 3, -900, 5, 6, 7)),
    "both at fault": ((0, 0, 1, 1, 2, 2), (0, 0, 1, 1, 2, 2), (0, 0, 1, 1, 2, 2)),
    "fields that share a time": ((0, 0, 2, 2, 4, 4), range(6), range(6)),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_the_clock_that_tells_when_a_picture_is_shown(kind: str) -> None:
    pts, dts, wanted = CASES[kind]
    assert chosen(pts, dts) == list(wanted)


def test_what_was_at_fault_long_ago_is_forgotten() -> None:
    pts = [0, 0, *range(2, 40), 39]
    assert chosen(pts, range(len(pts))) == pts
