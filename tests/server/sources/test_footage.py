"""How long a stream is shown, from its packets."""

from __future__ import annotations

from collections.abc import Iterable
from fractions import Fraction

import pytest

from server.sources.footage import LONGEST, Footage, unit

MS = Fraction(1, 1000)
Packet = tuple[int | None, int | None, int]

FIVE_HOURS = 5 * 3600 * 1000


def plain(times: Iterable[int], duration: int = 40) -> list[Packet]:
    return [(time, time, duration) for time in times]


def footage(
    packets: Iterable[Packet], rate: int = 25, tick: Fraction = MS, jumpy: bool = False
) -> Footage:
    counted = Footage(tick, Fraction(rate), jumpy)
    for packet in packets:
        counted.add(*packet)
    return counted


def even(count: int, first: int = 0, step: int = 40) -> range:
    return range(first, first + count * step, step)


def with_wrong(index: int, wrong: int) -> list[Packet]:
    times = list(even(12))
    return plain([*times[:index], wrong, *times[index + 1 :]])


CASES: dict[str, tuple[list[Packet], int]] = {
    "nothing": ([], 0),
    "even": (plain(even(10)), 400),
    "a late start": (plain(even(10, 7000)), 400),
    "one": ([(0, 0, 3000)], 3000),
    "one of unknown length": ([(0, 0, 0)], 40),
    "a last one that is shown for long": ([*plain((0, 1000), 0), (3000, 3000, 3000)], 6000),
    "a last one of unknown length": (plain((0, 100, 200), 0), 300),
    "no times": ([(None, None, 40)] * 5, 200),
    "neither times nor lengths": ([(None, None, 0)] * 5, 200),
    "missing at both ends": ([(None, None, 40), *plain(even(5)), (None, None, 40)], 280),
    "missing in the middle": ([*plain(even(5)), (None, None, 40), *plain(even(5, 240))], 440),
    "reordered": ([(0, -80, 40), (120, -40, 40), (40, 0, 40), (80, 40, 40)], 160),
    "reordered over a pause": ([(0, -80, 40), (9000, -40, 40), (40, 0, 40), (80, 40, 40)], 9040),
    "reordered, decoding times later": (
        [(0, None, 40), (120, None, 40), (40, 0, 40), (80, 40, 40)], 160,
    ),
    "all at once": (plain([7] * 5, 0), 200),
    "a pause": (plain((0, 40, 3_000_000)), 3_000_040),
    "slow": (plain(range(0, 100 * 60_000, 60_000), 60_000), 6_000_000),
    "slow beyond the longest pause": (
        plain(range(0, 6 * FIVE_HOURS, FIVE_HOURS)), 5 * FIVE_HOURS + 40,
    ),
    "a clock that begins anew": (plain([*even(10, 300_000), *even(10, 10_000)]), 800),
    "one that begins anew in what was shown": (plain([*even(10), *even(10, 200)]), 800),
    "one that jumps ahead": (plain([*even(10), *even(10, 50_000_000)]), 800),
    "and back": (plain([*even(10), *even(10, 50_000_000), *even(10, 400)]), 1200),
    "a first one five hours ahead": (with_wrong(0, FIVE_HOURS), 480),
    "one five hours ahead": (with_wrong(5, FIVE_HOURS), 480),
    "one a minute ahead": (with_wrong(5, 60_000), 480),
    "one five hours back": (with_wrong(5, -FIVE_HOURS), 480),
    "a first one before 0": (with_wrong(0, -7000), 480),
    "a last one five hours ahead": (with_wrong(11, FIVE_HOURS), 480),
    "a picture's own time five hours ahead": (
        [(time if time != 200 else FIVE_HOURS, time, 40) for time in even(12)], 480,
    ),
}  # fmt: skip


@pytest.mark.parametrize("kind", CASES)
def test_what_is_shown_is_counted(kind: str) -> None:
    packets, wanted = CASES[kind]
    counted = footage(packets)
    assert counted.pictures == len(packets)
    assert counted.seconds == wanted * MS


def test_where_clocks_jump_a_shorter_pause_is_a_jump() -> None:
    joined = plain([*even(10), *even(10, 300_000)])
    assert footage(joined).seconds == 300_400 * MS
    assert footage(joined, jumpy=True).seconds == 800 * MS
    slow = plain(range(0, 20 * 60_000, 60_000))
    assert footage(slow, jumpy=True).seconds == 19 * 60 + 40 * MS


@pytest.mark.parametrize(
    ("packets", "named", "rate"),
    [
        (plain(even(10)), [60_000, 25], 25),
        (plain(even(10)), [24, 25], 25),
        (plain(even(10)), [30], 25),
        (plain([*even(10), *even(10, 50_000_000)]), [25], 25),
        ([(None, None, 20)] * 8, [25, 50], 50),
        ([*plain((0, 1000), 0), (3000, 3000, 3000)], [25], Fraction(1, 2)),
        ([(0, 0, 9_000_000)], [25], Fraction(1, 9000)),
        ([], [25], 25),
    ],
)
def test_the_rate_is_the_containers_where_the_times_agree(
    packets: list[Packet], named: list[int], rate: Fraction
) -> None:
    assert footage(packets).rate([Fraction(given) for given in named]) == rate


NS = Fraction(1, 10**9)


@pytest.mark.parametrize(
    ("tick", "grid", "pause", "seconds"),
    [
        (Fraction(1, 90_000), Fraction(1, 90_000), 1, 14_400),
        (NS, NS, Fraction(1, 25), 1),
        (NS, Fraction(1, 25), 3, 6),
        (NS / 10**3, Fraction(1, 30_000), 3000, 9000),
        (Fraction(907, 40_000_000), Fraction(907, 40_000_000), 60, 120),
        (NS, NS, 14_000, 14_400),
        (NS, Fraction(0), 0, 0),
        (NS, NS, 10**7, 10**8),
    ],
)
def test_a_unit_holds_every_pause(
    tick: Fraction, grid: Fraction, pause: Fraction, seconds: Fraction
) -> None:
    found = unit(tick, grid, Fraction(pause), Fraction(seconds))
    assert pause / found <= LONGEST
    exact = [part for part in (tick, grid) if part and pause * part.denominator <= LONGEST]
    assert not exact or (exact[0] / found).denominator == 1


def test_the_unit_is_the_tick_wherever_it_can_be() -> None:
    assert unit(MS, Fraction(1, 25), Fraction(3), Fraction(9000)) == MS
    assert unit(NS, NS, Fraction(1, 25), Fraction(3600)) == NS


def test_a_fine_clock_is_reported_in_a_unit_of_its_times() -> None:
    fine = footage(plain([t * 10**6 for t in (0, 40, 3000, 6000)], 0), tick=NS)
    assert fine.unit() > NS
    assert all((t * MS / fine.unit()).denominator == 1 for t in (40, 3000, 6000))
