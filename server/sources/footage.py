"""The duration and frame rate of a stream, from the times of its packets."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from math import gcd

from server.sources.clocks import REORDERED
from server.sources.timeline import MAX_PAUSE, MAX_PAUSE_OF_JUMPY, PATIENCE, RESTART, stray

LONGEST = 2**31 - 2
"""In ticks; FFmpeg's MP4 cannot show a picture for longer."""

FINE = 10**6
"""Ticks per second that suffice if the container itself has too many."""

LOSSES = 8
"""By which factor a pause may grow if pictures are lost in decoding."""

LIKE = Fraction(1, 10)
"""The maximum relative difference from a rate named by the container for that rate to be used."""


@dataclass(frozen=True, slots=True)
class _Row:
    """Pictures of one clock, with times in ticks: the first and last presentation time, the
    duration of the last picture (0: unknown), the last key (and whether it is a decoding time),
    and the number of pictures."""

    first: int
    last: int
    tail: int
    key: int
    decoding: bool
    pictures: int = 1

    def shown(self, step: Fraction) -> Fraction:
        """Return the ticks for which the row is shown.

        A last picture of unknown duration counts as long as the mean one, or ``step`` if there is
        no mean.
        """
        span = self.last - self.first
        if self.pictures > 1 and not span:
            return self.pictures * step
        return span + (Fraction(self.tail) or self.usual(step))

    def usual(self, step: Fraction) -> Fraction:
        """Return the mean ticks per picture; ``step`` if there is no mean."""
        span = self.last - self.first
        return Fraction(span, self.pictures - 1) if span else step


@dataclass(frozen=True, slots=True)
class _Count:
    """The count so far, in ticks: the row of the present clock; ``step``, the duration of a picture
    if the row gives none; what the rows ``before`` it have shown; the ``longest`` pause in one; the
    number of ``leaps`` that count as jumps of a clock; and how much more was shown if they are
    not."""

    row: _Row
    step: Fraction
    before: Fraction = Fraction(0)
    longest: int = 0
    leaps: int = 0
    leapt: Fraction = Fraction(0)


class Footage:
    """Counts the time that is shown, not the time between the first and the last picture.

    Packets come in decoding order; times are ticks of ``tick`` seconds, ``rate`` is a guess for
    pictures without times. As in a Timeline, a clock that falls back has restarted, and one that
    advances by more than a picture may be shown has jumped, unless most pictures are shown that
    long. Up to PATIENCE pictures that leave a clock which then continues have wrong times. Mutable
    state: the count, the count before the clock was left, and how many pictures ago that was.
    """

    def __init__(self, tick: Fraction, rate: Fraction, jumpy: bool) -> None:
        self.pictures = 0
        self._tick = tick
        self._step = 1 / rate / tick
        self._near = max(RESTART / tick, REORDERED * self._step)
        self._pause = (MAX_PAUSE_OF_JUMPY if jumpy else MAX_PAUSE) / tick
        self._count: _Count | None = None
        self._left: _Count | None = None
        self._away = 0
        self._untimed = Fraction(0)
        self._grid = 0

    def add(self, pts: int | None, dts: int | None, duration: int) -> None:
        """Count the next packet that contains a picture."""
        self.pictures += 1
        key = pts if dts is None else dts
        if key is None:
            self._untimed += duration or self._step
            return
        if pts is None or abs(pts - key) > self._pause:
            pts = key
        self._grid = gcd(self._grid, pts, duration)
        self._append(_Row(pts, pts, duration, key, dts is not None))

    @property
    def seconds(self) -> Fraction:
        """Return how long everything is shown, including the last picture."""
        shown = self._untimed
        if self._count is not None:
            shown += self._count.before + self._count.row.shown(self._count.step)
            shown += self._count.leapt if self._slow(self._count) else 0
        return shown * self._tick

    def rate(self, named: Sequence[Fraction]) -> Fraction:
        """Return the pictures per second: the rate in ``named`` that agrees with the times,
        otherwise their mean."""
        if not self.pictures:
            return named[0]
        mean = self.pictures / self.seconds
        nearest = min(named, key=lambda rate: abs(rate - mean))
        return nearest if abs(nearest - mean) <= LIKE * mean else _simple(mean)

    def unit(self) -> Fraction:
        """Return the unit of these times in seconds: the tick, unless MP4 cannot represent a pause
        in it; then a coarser unit, of which all times are multiples if there is one."""
        longest = self._count.longest * self._tick if self._count else Fraction(0)
        return unit(self._tick, self._grid * self._tick, longest, self.seconds)

    def _append(self, new: _Row) -> None:
        if self._count is None:
            self._count = _Count(new, self._step, before=self._untimed)
        else:
            self._count = self._added(self._found(self._count, new), new)
        self._untimed = Fraction(0)

    def _found(self, count: _Count, new: _Row) -> _Count:
        """Return the count that ``new`` continues: that of a clock to which it returns, otherwise
        ``count``."""
        left = self._left
        if left and self._away <= PATIENCE and 0 < new.key - left.row.key <= self._near:
            self._left = None
            return replace(left, row=replace(left.row, pictures=left.row.pictures + self._away))
        if self._fell(count.row, new) or new.key - count.row.key > self._near:
            self._left, self._away = count, 0
        self._away += 1
        return count

    def _added(self, count: _Count, new: _Row) -> _Count:
        row, leap = count.row, new.key - count.row.key
        jumped = leap > self._pause
        if not (jumped or self._fell(row, new) or self._stray(row, new)):
            return replace(count, row=_joined(row, new), longest=max(count.longest, leap))
        shown = row.shown(count.step)
        more = leap - (shown - (row.last - row.first))
        return replace(
            count,
            row=new,
            step=row.usual(count.step),
            before=count.before + shown,
            leaps=count.leaps + jumped,
            leapt=count.leapt + (more if jumped else 0),
        )

    def _fell(self, row: _Row, new: _Row) -> bool:
        """Return whether a clock fell back: decoding times never fall, presentation times do so by
        a few pictures."""
        leap = new.key - row.key
        return leap < 0 if row.decoding and new.decoding else leap < -self._near

    def _stray(self, row: _Row, new: _Row) -> bool:
        tick = self._tick
        alone = row.pictures == 1
        return alone and stray(row.first * tick, new.first * tick, self._step * tick)

    def _slow(self, count: _Count) -> bool:
        """Return whether most pictures are shown for so long that no clock has jumped."""
        return 2 * count.leaps > self.pictures - 1


def _joined(row: _Row, new: _Row) -> _Row:
    return _Row(
        min(row.first, new.first),
        max(row.last, new.last),
        new.tail if new.last >= row.last else row.tail,
        new.key,
        new.decoding,
        row.pictures + 1,
    )


def unit(tick: Fraction, grid: Fraction, pause: Fraction, seconds: Fraction) -> Fraction:
    """Return the unit for times that are multiples of ``grid``, which is a multiple of ``tick``.

    It is ``tick`` if the whole video, or the longest ``pause`` with some pictures lost, has at most
    LONGEST of them. Otherwise it is a fraction of ``grid``, or of a second if no fraction of
    ``grid`` will do: the finest of which the whole video has at most LONGEST, down to 1/FINE s.
    """
    most = _per_second(2 * seconds)
    if tick.denominator <= max(most, _per_second(LOSSES * pause)):
        return tick
    parts = min(most, max(FINE, grid.denominator)) // grid.denominator if grid else 0
    return Fraction(1, max(1, parts * grid.denominator or min(most, FINE)))


def _per_second(seconds: Fraction) -> int:
    """Return how many ticks per second there may be so that ``seconds`` have at most LONGEST."""
    return int(LONGEST / seconds) if seconds else LONGEST


def _simple(rate: Fraction) -> Fraction:
    """Return the rate as a fraction of numbers small enough for codecs."""
    if rate < 1:
        return 1 / _simple(1 / rate)
    return min(rate, Fraction(FINE)).limit_denominator(1001)
