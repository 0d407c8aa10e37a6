"""PSPNet (Zhao et al. 2017) with the layers of PaddleSeg: pyramid pooling on C4."""

from __future__ import annotations

from collections.abc import Sequence
from typing import ClassVar

from torch import Tensor, nn

from models.heads.base import ReleasePath, SupervisedHead
from models.layers import PyramidPooling


class PSPNet(SupervisedHead):
    """Reads C4, in training also C3; logits (B, classes, h4, w4) at C4's size.

    ``width`` is the number of channels after the pyramid: 512, as in the authors' code and most
    others.
    """

    width: ClassVar[int] = 512
    least_batch = 2
    release_paths = (
        ReleasePath(r"pyramid\.branches\.(\d)\.conv", r"psp_module.stages.\1.1", True),
        ReleasePath(r"pyramid\.fuse\.conv", r"psp_module.conv_bn_relu2", True),
        ReleasePath(r"classify", r"conv"),
        ReleasePath(r"supervision\.reduce\.conv", r"auxlayer.conv_bn_relu", True),
        ReleasePath(r"supervision\.classify", r"auxlayer.conv"),
    )

    def __init__(self, channels: Sequence[int], classes: int, output_stride: int) -> None:
        del output_stride
        super().__init__(channels, classes)
        self.pyramid = PyramidPooling(channels[3], self.width)
        self.dropout = nn.Dropout2d(0.1)
        self.classify = nn.Conv2d(self.width, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits (B, classes, h4, w4) of C1..C4 at C4's size."""
        logits: Tensor = self.classify(self.dropout(self.pyramid(features[3])))
        return logits


class PSPNet1024(PSPNet):
    """PSPNet with PaddleSeg's own width, to load its checkpoints."""

    width = 1024
