"""Rising presentation times: the container's, corrected if they are missing or wrong."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Generic, TypeVar

from server.sources.clocks import Clocks, Stamp

T = TypeVar("T")

PATIENCE = 4
"""Number of later pictures that must come before a time is trusted."""

UNTIMED = 16
"""Maximum number of pictures without a time that wait for one that has a time."""

RESTART = Fraction(1)
"""In seconds. Without patience, a clock that falls back by more counts as restarted."""

MAX_PAUSE = Fraction(4 * 3600)
"""In seconds. No picture is shown for longer, so a clock that advances further has jumped."""

MAX_PAUSE_OF_JUMPY = Fraction(10)
"""The same for clocks known to jump (MPEG-TS and PS, Ogg): FFmpeg's dts_delta_threshold."""

SLOW = 10
"""A clock that advances by less than this many usual distances has not jumped."""


def longest_pause(rate: Fraction, jumpy: bool) -> Fraction:
    """Return the longest plausible time from one picture to the next; beyond it, the clock has
    jumped.

    A pause is shown, so it counts. Only a time longer than any accepted video, or a typical jump of
    the format (``jumpy``), counts as a jump, and not even that if the pictures come as slowly.
    """
    return max(MAX_PAUSE_OF_JUMPY if jumpy else MAX_PAUSE, SLOW / rate)


@dataclass(frozen=True, slots=True)
class Rhythm:
    """Properties of one stream: ``rate`` in pictures per second; ``grain``, the unit of estimated
    times, in seconds; ``pause``, the result of :func:`longest_pause`, in seconds."""

    rate: Fraction
    grain: Fraction
    pause: Fraction


@dataclass(frozen=True, slots=True)
class _Waiting(Generic[T]):
    item: T
    stamp: Stamp


class Timeline(Generic[T]):
    """Gives the pictures of one stream, which come in display order, rising times >= 0.

    A time is kept exactly if it is in the longest rising row among itself and the ``patience``
    pictures after it. One that is not, or is missing, is placed between its neighbours, at most one
    picture's duration apart, so a wrong time affects only its own picture; times missing at the
    very beginning are counted back from the first known one. If a whole row lies behind, or ahead
    by more than ``rhythm.pause``, the clock has jumped: the next picture is shown one period later,
    and the clock is followed from there. A stream that begins before 0 is shifted to begin at 0,
    since neither MP4 nor Matroska can store earlier times.

    Without patience (live) each picture gets its time at once. Mutable state: the pictures that
    wait, the last time given, exact and rounded, and the shift of the source's clock.
    """

    def __init__(self, rhythm: Rhythm, patience: int = PATIENCE) -> None:
        self._step = 1 / rhythm.rate
        self._grain = rhythm.grain
        self._pause = rhythm.pause
        self._patience = patience
        self._clocks = Clocks(self._step)
        self._waiting: list[_Waiting[T]] = []
        self._untimed = 0
        self._shift = Fraction(0)
        self._exact = Fraction(0)
        self._last: Fraction | None = None

    def add(self, item: T, stamp: Stamp) -> Iterator[tuple[T, Fraction]]:
        """Add the next picture; yield those whose times are known by now."""
        self._clocks.see(stamp)
        self._waiting.append(_Waiting(item, stamp))
        while len(self._waiting) > self._most_waiting():
            yield self._settle()

    def finish(self) -> Iterator[tuple[T, Fraction]]:
        """Yield the pictures that still wait, after the last one was added."""
        while self._waiting:
            yield self._settle()

    def _most_waiting(self) -> int:
        """Return how many pictures may wait: more while none of them has a time, unless too many
        had none before."""
        if self._patience == 0:
            return 0
        known = any(time is not None for time in self._times())
        return self._patience if known or self._untimed >= UNTIMED else UNTIMED

    def _times(self) -> list[Fraction | None]:
        times = [self._clocks.time(waiting.stamp) for waiting in self._waiting]
        return [None if time is None else time + self._shift for time in times]

    def _settle(self) -> tuple[T, Fraction]:
        times = self._times()
        self._untimed = self._untimed + 1 if times[0] is None else 0
        self._exact = self._first(times) if self._last is None else self._next(times, self._last)
        self._last = self._on_grain(self._exact)
        return self._waiting.pop(0).item, self._last

    def _first(self, times: Sequence[Fraction | None]) -> Fraction:
        row = believed(times)
        if len(row) > 1 and stray(row[0][1], row[1][1], self._step):
            row = row[1:]
        time = self._count_back(*row[0]) if row else Fraction(0)
        self._shift = -min(time, Fraction(0))
        return time + self._shift

    def _count_back(self, index: int, time: Fraction) -> Fraction:
        """Return the first picture's time if picture ``index`` is at ``time``; not before 0 if the
        pictures fit between 0 and ``time``."""
        room = time / index if index and time >= index * self._grain else self._step
        return time - index * min(self._step, room)

    def _next(self, times: Sequence[Fraction | None], last: Fraction) -> Fraction:
        row = believed(times, last)
        if not row:
            return self._fallen_back(times, last)
        index, time = row[0]
        if time - last > self._pause + index * self._step:
            self._jump(time, index)
            time = self._exact + (index + 1) * self._step
        if index:
            return self._between(last, time, index)
        return time

    def _between(self, last: Fraction, time: Fraction, index: int) -> Fraction:
        """Return the time of the first of ``index`` pictures between two known times."""
        if self._exact + (index + 1) * self._step <= time:
            return self._exact + self._step
        return last + (time - last) / (index + 1)

    def _fallen_back(self, times: Sequence[Fraction | None], last: Fraction) -> Fraction:
        """Return the next time if no known one lies ahead: there is none, it is wrong, or the clock
        has restarted."""
        row = believed(times)
        if len([time for time in times if time is not None]) > 1:
            self._jump(row[0][1], row[0][0])
        elif row and self._patience == 0:
            if row[0][1] >= last - RESTART:
                return last + self._grain
            self._jump(row[0][1], 0)
        return self._exact + self._step

    def _jump(self, time: Fraction, index: int) -> None:
        """Shift the clock so that picture ``index``, at ``time``, follows the last at the rate."""
        self._shift += self._exact + (index + 1) * self._step - time

    def _on_grain(self, time: Fraction) -> Fraction:
        rounded = round(time / self._grain) * self._grain
        return rounded if self._last is None else max(rounded, self._last + self._grain)


def believed(
    times: Sequence[Fraction | None], above: Fraction | None = None
) -> list[tuple[int, Fraction]]:
    """Return the longest rising row of (index, time), all later than ``above``.

    Among equally long rows, the one that ends earliest wins, then the one that comes first.
    """
    rows: list[list[tuple[int, Fraction]]] = []
    for index, time in enumerate(times):
        if time is not None and (above is None or time > above):
            before = [row for row in rows if row[-1][1] < time]
            rows.append([*max(before, key=len, default=[]), (index, time)])
    return min(rows, key=lambda row: (-len(row), row[-1][1]), default=[])


def stray(time: Fraction, following: Fraction, step: Fraction) -> bool:
    """Return whether a first time is before 0 and too far from the next one."""
    return time < 0 and following - time > max(RESTART, SLOW * step)
