"""The contract of a head: feature maps in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from models.layers import ConvBN


class ReleasePath(NamedTuple):
    """Where the release keeps a convolution of a head, and the batch norm behind it if any.

    ``ours`` is a pattern of our path within the head, ``theirs`` the path there. Of a pair the
    release keeps ``theirs`` + ``conv`` and ``theirs`` + ``norm``; ``biased`` says whether that
    convolution has a bias all the same. A convolution without a norm lies at ``theirs`` itself.
    """

    ours: str
    theirs: str
    biased: bool = False
    conv: str = "._conv"
    norm: str = "._batch_norm"


class Head(nn.Module, ABC):
    """One decoder. ``stages`` are those it reads, and so those that get memory by default.

    It is made as ``Head(channels of C1..C4, classes, output_stride)``. A head with an auxiliary
    loss overrides :meth:`auxiliary` and says its ``auxiliary_weight``; serving never calls it.
    """

    stages: ClassVar[tuple[int, ...]]
    auxiliary_weight: ClassVar[float] = 0.0
    least_batch: ClassVar[int] = 1
    """Pictures that training needs at once: 2 where a batch norm follows a whole map's mean, which
    has one value a channel and picture."""
    release_paths: ClassVar[tuple[ReleasePath, ...]] = ()

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """C1..C4 -> logits (B, classes, h, w) at whatever size the head ends with."""

    def auxiliary(self, features: Sequence[Tensor]) -> list[Tensor]:
        """C1..C4 -> further logits for training, each (B, classes, h, w)."""
        del features
        return []


class SupervisedHead(Head):
    """A head of C4 whose trunk is supervised at C3 too, while training (Zhao et al. 2017)."""

    stages = (3, 4)
    auxiliary_weight = 0.4

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.supervision = Supervision(channels[2], classes)

    def auxiliary(self, features: Sequence[Tensor]) -> list[Tensor]:
        """C1..C4 -> logits at C3's size."""
        return [self.supervision(features[2])]


class Supervision(nn.Sequential):
    """3x3 to 256 channels, dropout, classes: (B, c, h, w) -> logits (B, classes, h, w)."""

    def __init__(self, c_in: int, classes: int) -> None:
        parts: dict[str, nn.Module] = {
            "reduce": ConvBN(c_in, 256, 3),
            "dropout": nn.Dropout2d(0.1),
            "classify": nn.Conv2d(256, classes, 1),
        }
        super().__init__(OrderedDict(parts))


TRAINING_ONLY = "head.supervision."
"""How the names of weights begin that no served graph needs."""
