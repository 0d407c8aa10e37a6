"""Find the pixels whose label memory changed, and the frames in which that helped or hurt most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from training.data.labels import VOID
from training.scoring.passes import Mode, Shot

Where = NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Change:
    """The pixels that memory changed in one frame, each mask bool (h, w).

    Pixels became right, became wrong, or changed from one wrong class to another. Void pixels are
    in none of the masks.
    """

    shot: Shot
    became_right: Where
    became_wrong: Where
    still_wrong: Where

    @property
    def right(self) -> float:
        """Share of the labelled pixels that memory made right."""
        return float(self.became_right.sum() / self._labelled)

    @property
    def wrong(self) -> float:
        """Share of the labelled pixels that memory made wrong."""
        return float(self.became_wrong.sum() / self._labelled)

    @property
    def balance(self) -> float:
        """The share that became right minus the share that became wrong."""
        return self.right - self.wrong

    @property
    def _labelled(self) -> int:
        return max(1, int((self.shot.truth != VOID).sum()))


@dataclass(frozen=True, slots=True)
class Extremes:
    """The changes that helped most and those that hurt most, largest effect first."""

    helped: tuple[Change, ...] = ()
    hurt: tuple[Change, ...] = ()

    def with_one_more(self, change: Change, most: int) -> Extremes:
        """Add a change and keep at most ``most`` of each kind; a balance of 0 is neither."""
        helped = [*self.helped, change] if change.balance > 0 else self.helped
        hurt = [*self.hurt, change] if change.balance < 0 else self.hurt
        return Extremes(_first(helped, most, -1), _first(hurt, most, 1))


def compare(shot: Shot) -> Change:
    """Compare a frame's masks with memory and with memory off."""
    remembering, without = (shot.answers[mode].mask for mode in (Mode.WITH, Mode.OFF))
    right, was_right = remembering == shot.truth, without == shot.truth
    changed = (remembering != without) & (shot.truth != VOID)
    return Change(shot, right & ~was_right, was_right & ~right, changed & ~right & ~was_right)


def _first(changes: Sequence[Change], most: int, sign: int) -> tuple[Change, ...]:
    return tuple(sorted(changes, key=lambda change: sign * change.balance)[:most])
