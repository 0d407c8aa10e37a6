"""DeepLabV3+ (Chen et al. 2018) with the layers of PaddleSeg, which the paper's release uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from models.heads.base import Head, ReleasePath
from models.layers import ConvBN, SeparableConv, resize

ASPP_RATES = {8: (12, 24, 36), 16: (6, 12, 18), 32: (3, 6, 9)}


class DeepLabV3Plus(Head):
    """Reads C1 and C4; logits (B, classes, h1, w1) at C1's size."""

    stages = (1, 4)
    least_batch = 2
    release_paths = (
        ReleasePath(r"aspp\.branches\.0\.conv", r"aspp.aspp_blocks.0", True),
        ReleasePath(
            r"aspp\.branches\.(\d)\.depthwise\.conv", r"aspp.aspp_blocks.\1.depthwise_conv", True
        ),
        ReleasePath(
            r"aspp\.branches\.(\d)\.pointwise\.conv", r"aspp.aspp_blocks.\1.piontwise_conv", True
        ),
        ReleasePath(r"aspp\.image\.conv", r"aspp.global_avg_pool.1"),
        ReleasePath(r"aspp\.project\.conv", r"aspp.conv_bn_relu", True),
        ReleasePath(r"low_level\.conv", r"decoder.conv_bn_relu1", True),
        ReleasePath(r"fuse1\.depthwise\.conv", r"decoder.conv_bn_relu2.depthwise_conv", True),
        ReleasePath(r"fuse1\.pointwise\.conv", r"decoder.conv_bn_relu2.piontwise_conv", True),
        ReleasePath(r"fuse2\.depthwise\.conv", r"decoder.conv_bn_relu3.depthwise_conv", True),
        ReleasePath(r"fuse2\.pointwise\.conv", r"decoder.conv_bn_relu3.piontwise_conv", True),
        ReleasePath(r"classify", r"decoder.conv", True),
    )

    def __init__(self, channels: Sequence[int], classes: int, output_stride: int) -> None:
        super().__init__()
        self.aspp = ASPP(channels[3], 256, ASPP_RATES[output_stride])
        self.low_level = ConvBN(channels[0], 48, 1)
        self.fuse1 = SeparableConv(256 + 48, 256)
        self.fuse2 = SeparableConv(256, 256)
        self.classify = nn.Conv2d(256, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits (B, classes, h1, w1) of C1..C4 at C1's size."""
        low = self.low_level(features[0])
        context = resize(self.aspp(features[3]), low)
        fused = self.fuse2(self.fuse1(torch.cat([context, low], dim=1)))
        logits: Tensor = self.classify(fused)
        return logits


class ASPP(nn.Module):
    """Atrous spatial pyramid pooling: 1x1, three dilated separable 3x3 and the mean of the map.

    (B, c_in, h, w) -> (B, c_out, h, w).
    """

    def __init__(self, c_in: int, c_out: int, rates: Sequence[int]) -> None:
        super().__init__()
        dilated = [SeparableConv(c_in, c_out, rate) for rate in rates]
        self.branches = nn.ModuleList([ConvBN(c_in, c_out, 1), *dilated])
        self.image = ConvBN(c_in, c_out, 1)
        self.project = ConvBN((len(self.branches) + 1) * c_out, c_out, 1)
        self.dropout = nn.Dropout(0.1)

    def forward(self, x: Tensor) -> Tensor:
        mean = x.float().mean(dim=(2, 3), keepdim=True).to(x.dtype)
        image = self.image(mean).expand(-1, -1, *x.shape[2:])
        parts = torch.cat([*(branch(x) for branch in self.branches), image], dim=1)
        projected: Tensor = self.dropout(self.project(parts))
        return projected
