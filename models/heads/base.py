"""The interface of a head: feature maps in, logits out."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections import OrderedDict
from collections.abc import Sequence
from typing import ClassVar, NamedTuple

from torch import Tensor, nn

from models.layers import ConvBN


class ReleasePath(NamedTuple):
    """The release's paths of a head's convolution and of the batch norm that follows it, if any.

    ``ours`` is a regular expression for our path within the head, ``theirs`` the release's path.
    With a norm, the release's paths are ``theirs`` + ``conv`` and ``theirs`` + ``norm``; ``biased``
    says whether that convolution nevertheless has a bias. A convolution without a norm is at
    ``theirs`` itself.
    """

    ours: str
    theirs: str
    biased: bool = False
    conv: str = "._conv"
    norm: str = "._batch_norm"


class Head(nn.Module, ABC):
    """One decoder, constructed as ``Head(channels of C1..C4, classes, output_stride)``.

    ``stages`` are the stages that it reads; with memory options whose ``stages`` is None, these get
    memory. A head with an auxiliary loss overrides :meth:`auxiliary` and sets
    ``auxiliary_weight``; serving never calls it.
    """

    stages: ClassVar[tuple[int, ...]]
    auxiliary_weight: ClassVar[float] = 0.0
    least_batch: ClassVar[int] = 1
    """The smallest batch for training: 2 if a batch norm follows the mean of a whole map, which has
    one value per channel and picture."""
    release_paths: ClassVar[tuple[ReleasePath, ...]] = ()

    @abstractmethod
    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits (B, classes, h, w) of C1..C4 at the head's own output size."""

    def auxiliary(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return further logits of C1..C4 for training, each (B, classes, h, w)."""
        del features
        return []


class SupervisedHead(Head):
    """A head that reads C4; training also supervises the trunk at C3 (Zhao et al. 2017)."""

    stages = (3, 4)
    auxiliary_weight = 0.4

    def __init__(self, channels: Sequence[int], classes: int) -> None:
        super().__init__()
        self.supervision = Supervision(channels[2], classes)

    def auxiliary(self, features: Sequence[Tensor]) -> list[Tensor]:
        """Return logits (B, classes, h3, w3) of C1..C4 at C3's size."""
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
"""The prefix of the names of weights that no served graph needs."""
