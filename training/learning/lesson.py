"""The results of training: of one time step as tensors, of one batch of clips as numbers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor


class Learned(NamedTuple):
    """The result of one time step, left on its device so that nothing waits for the computation.

    ``loss`` is (), ``judge`` the judge's ``a`` (eq. 4), (B,), by stage, ``held`` (B,) int64 the
    number of frames in memory before the step.
    """

    loss: Tensor
    judge: dict[int, Tensor]
    held: Tensor


@dataclass(frozen=True, slots=True)
class Lesson:
    """Means over the iterations from ``start`` to ``iteration``.

    ``loss``; ``judge``, the judge's ``a`` by stage over samples with a memory; ``held``, the number
    of frames in memory.
    """

    start: int
    iteration: int
    loss: float
    judge: dict[int, float]
    held: float

    def passes(self, every: int) -> bool:
        """Return whether the iterations reach a multiple of ``every``; never if it is 0.

        This depends only on the iterations, so a resumed run acts at the same ones as an unbroken
        run.
        """
        return every > 0 and self.iteration // every > self.start // every


def lesson(start: int, instants: Sequence[Learned]) -> Lesson:
    """Summarise one batch of clips that began at iteration ``start``."""
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
