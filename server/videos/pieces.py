"""The pieces of a video: where it is cut, where reading of each piece begins, and which is next.

Pieces depend only on the video, the model's horizon and one setting, so every run cuts a video at
the same places, whatever the number of lanes and after any interruption.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from fractions import Fraction
from itertools import pairwise
from typing import Any

from server.sources.cuts import Cuts, KeyFrame, Uncut
from server.sources.decoding import Stretch


@dataclass(frozen=True, slots=True)
class Piece:
    """Frames ``first`` to ``last`` of a video; ``last`` None: up to its end."""

    number: int
    first: int
    last: int | None

    def __str__(self) -> str:
        return f"frames {self.first} to {'the end' if self.last is None else self.last}"


@dataclass(frozen=True, slots=True)
class Plan:
    """All pieces of a video, in order, and the reason if there is only one."""

    pieces: tuple[Piece, ...]
    reason: Uncut | None = None


def plan(cuts: Cuts, horizon: int | None, length: int) -> Plan:
    """Cut a video into pieces of at least ``length`` frames each, for a model whose masks depend
    on the last ``horizon`` frames."""
    if horizon is None:
        return in_one_piece(Uncut.NO_HORIZON)
    if cuts.reason is not None:
        return in_one_piece(cuts.reason)
    firsts = _firsts(cuts, length)
    if len(firsts) == 1:
        return in_one_piece(Uncut.SHORT if cuts.pictures < 2 * length else Uncut.KEY_FRAMES)
    ends = [*firsts[1:], cuts.pictures]
    pieces = (
        Piece(n, first, end - 1) for n, (first, end) in enumerate(zip(firsts, ends, strict=True))
    )
    return Plan(tuple(pieces))


def in_one_piece(reason: Uncut) -> Plan:
    """Return the plan of a video that is not cut."""
    return Plan((Piece(0, 0, None),), reason)


def stretch_of(piece: Piece, cuts: Cuts, horizon: int | None) -> Stretch | None:
    """Return the stretch to read for a piece, so that the memory is filled first; None: from the
    start of the file."""
    if piece.first == 0 or horizon is None:
        return None
    warm_up = max(0, piece.first - horizon)
    return Stretch(_key_before(cuts.keys, warm_up), warm_up, piece.first)


def keys_of(piece: Piece, cuts: Cuts, horizon: int | None) -> list[KeyFrame]:
    """Return the key frames on which reading a piece depends: the one from which it is read, and
    the one with which it begins; None if the video is not cut."""
    if piece.last is None:
        return []
    stretch = stretch_of(piece, cuts, horizon)
    begins = [key for key in cuts.keys if key.number == piece.first]
    return begins if stretch is None or stretch.key in begins else [stretch.key, *begins]


def stored_keys(keys: Sequence[KeyFrame]) -> list[list[int | str | None]]:
    """Return key frames as JSON."""
    return [[key.number, key.pts, key.dts, str(key.time)] for key in keys]


def cuts_of(pieces: Sequence[Piece], stored: Sequence[Any]) -> Cuts:
    """Return the cuts of a video according to its pieces and their :func:`stored_keys`: everything
    that reading them depends on. So only the server that planned the pieces has to search the
    file."""
    last = pieces[-1].last
    if last is None:
        return Cuts(0)
    found = {number: (pts, dts, time) for keys in stored for number, pts, dts, time in keys}
    keys = (
        KeyFrame(number, pts, dts, Fraction(time))
        for number, (pts, dts, time) in sorted(found.items())
    )
    return Cuts(last + 1, tuple(keys))


def next_piece(free: Collection[int], taken: Collection[int], after: int | None) -> int | None:
    """Return the free piece that a lane takes after it has finished piece ``after``.

    The following piece is best: decoder and memory continue. Otherwise it begins in the largest
    gap: in its middle if another lane will reach the gap, so that both can continue reading as long
    as possible.
    """
    if after is not None and after + 1 in free:
        return after + 1
    runs = _runs(sorted(free))
    if not runs:
        return None
    first, end = max(runs, key=lambda run: (run[1] - run[0], -run[0]))
    return first + (end - first) // 2 if first - 1 in taken else first


def _firsts(cuts: Cuts, length: int) -> list[int]:
    firsts = [0]
    for key in cuts.keys:
        if key.number - firsts[-1] >= length and cuts.pictures - key.number >= length:
            firsts.append(key.number)
    return firsts


def _key_before(keys: Sequence[KeyFrame], number: int) -> KeyFrame:
    return max((key for key in keys if key.number <= number), key=lambda key: key.number)


def _runs(numbers: Sequence[int]) -> list[tuple[int, int]]:
    """Return the runs of consecutive numbers as (first, end)."""
    if not numbers:
        return []
    breaks = [later for before, later in pairwise(numbers) if later != before + 1]
    ends = [before + 1 for before, later in pairwise(numbers) if later != before + 1]
    return list(zip([numbers[0], *breaks], [*ends, numbers[-1] + 1], strict=True))
