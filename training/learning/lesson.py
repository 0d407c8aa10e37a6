"""What learning told: of one instant as tensors, of one batch of clips as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Learned(NamedTuple):
    """Of one instant, on its device: nothing here waits for it.

    ``loss`` (); the judge's ``a`` (B,) by stage; ``held`` (B,) int64, the frames remembered when
    the instant came.
    """

    loss: Tensor
    judge: dict[int, Tensor]
    held: Tensor


@dataclass(frozen=True, slots=True)
class Lesson:
    """Of the iterations from ``start`` to ``iteration``, means: the loss, the judge's ``a`` by
    stage over what had a memory to judge, frames held."""

    start: int
    iteration: int
    loss: float
    judge: dict[int, float]
    held: float

    def passes(self, every: int) -> bool:
        """Did it reach a multiple of ``every``? Never where that is 0.

        A function of the iterations alone, so that a resumed run does all where an unbroken does.
        """
        return every > 0 and self.iteration // every > self.start // every


def lesson(start: int, instants: Sequence[Learned]) -> Lesson:
    """Sum up one batch of clips that began at iteration ``start``."""
    held = torch.stack([instant.held for instant in instants])
    return Lesson(
        start,
        start + len(instants),
        float(torch.stack([instant.loss for instant in instants]).mean()),
        {
            stage: _mean_where(torch.stack([i.judge[stage] for i in instants]), held > 0)
            for stage in instants[0].judge
        },
        float(held.float().mean()),
    )


def _mean_where(values: Tensor, counted: Tensor) -> float:
    return float((values * counted).sum() / counted.sum().clamp(min=1))
