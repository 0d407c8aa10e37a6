"""Tally the answers of one mode frame by frame; scores are computed from the counts."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field, replace

import numpy as np

from models.memory import JUDGE_RANGE
from training.scoring.consistency import WINDOWS, Consistency, Streaks, add_window, follow
from training.scoring.metrics import Matrix, confusion, mean_iou
from training.scoring.passes import Mode, Shot


@dataclass(frozen=True, slots=True)
class Judged:
    """The judge's statistic (eq. 4) of one stage over the frames with a memory.

    ``accepted`` is the number of frames for which eq. 5 accepts the memory.
    """

    frames: int = 0
    total: float = 0.0
    low: float = math.inf
    high: float = -math.inf
    accepted: int = 0

    @property
    def mean(self) -> float:
        return self.total / self.frames

    def add(self, value: float) -> Judged:
        """Return the statistic with one more frame's value."""
        low, high = JUDGE_RANGE
        return Judged(
            self.frames + 1,
            self.total + value,
            min(self.low, value),
            max(self.high, value),
            self.accepted + (low < value < high),
        )


@dataclass(frozen=True, slots=True)
class Tally:
    """The counts of one mode.

    ``matrix`` (classes, classes) counts pixels, with truth by row; ``image_miou`` is a sum over the
    ``images`` in which something is labelled; ``streaks`` are those of the current clip.
    """

    matrix: Matrix
    frames: int = 0
    images: int = 0
    image_miou: float = 0.0
    judged: Mapping[int, Judged] = field(default_factory=dict)
    consistency: Mapping[int, Consistency] = field(
        default_factory=lambda: {n: Consistency() for n in WINDOWS}
    )
    streaks: Streaks | None = None

    @classmethod
    def empty(cls, classes: int) -> Tally:
        """Return a tally without frames."""
        return cls(np.zeros((classes, classes), np.int64))


def add(tally: Tally, shot: Shot, mode: Mode) -> Tally:
    """Return the tally with one more frame's answer."""
    answer = shot.answers[mode]
    of_image = confusion(shot.truth, answer.mask, len(tally.matrix))
    labelled = bool(of_image.any())
    tally = replace(
        tally,
        matrix=tally.matrix + of_image,
        frames=tally.frames + 1,
        images=tally.images + labelled,
        image_miou=tally.image_miou + (mean_iou(of_image) if labelled else 0.0),
        judged=_judged(tally.judged, answer.judge),
    )
    return _followed(tally, shot, mode) if shot.dense else tally


def _judged(before: Mapping[int, Judged], values: Mapping[int, float]) -> Mapping[int, Judged]:
    return {**before, **{n: before.get(n, Judged()).add(a) for n, a in values.items()}}


def _followed(tally: Tally, shot: Shot, mode: Mode) -> Tally:
    before = tally.streaks if shot.index else None
    streaks = follow(before, shot.truth, shot.answers[mode].mask)
    consistency = {n: add_window(sums, streaks, n) for n, sums in tally.consistency.items()}
    return replace(tally, streaks=streaks, consistency=consistency)
