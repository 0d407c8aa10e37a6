"""The contract of a head: feature maps in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn


class Head(nn.Module, ABC):
    """One decoder. ``stages`` are those it reads, and so those that get memory by default.

    It is made as ``Head(channels of C1..C4, classes, output_stride)``. A head with an auxiliary
    loss overrides :meth:`auxiliary` and says its ``auxiliary_weight``; serving never calls it.
    """

    stages: ClassVar[tuple[int, ...]]
    auxiliary_weight: ClassVar[float] = 0.0
    release_paths: ClassVar[tuple[tuple[str, str, bool], ...]] = ()
    """Our path of a convolution (a pattern), the release's, and whether that one has a bias."""

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """C1..C4 -> logits (B, classes, h, w) at whatever size the head ends with."""

    def auxiliary(self, features: Sequence[Tensor]) -> list[Tensor]:
        """C1..C4 -> further logits for training, each (B, classes, h, w)."""
        del features
        return []
