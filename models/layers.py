"""The few layers that trunk, memory and heads share."""

from __future__ import annotations

from collections import OrderedDict

import torch.nn.functional as F
from torch import Tensor, nn


class ConvBN(nn.Sequential):
    """Convolution (no bias) and batch norm, same-padded: (B, c_in, h, w) -> (B, c_out, ...)."""

    def __init__(
        self, c_in: int, c_out: int, kernel: int, stride: int = 1, dilation: int = 1,
        groups: int = 1, relu: bool = True,
    ) -> None:  # fmt: skip
        padding = dilation * (kernel // 2)
        conv = nn.Conv2d(c_in, c_out, kernel, stride, padding, dilation, groups, bias=False)
        parts: list[tuple[str, nn.Module]] = [("conv", conv), ("bn", nn.BatchNorm2d(c_out))]
        if relu:
            parts.append(("relu", nn.ReLU(inplace=True)))
        super().__init__(OrderedDict(parts))


class SeparableConv(nn.Sequential):
    """Depthwise 3x3 with batch norm, then pointwise with batch norm and ReLU."""

    def __init__(self, c_in: int, c_out: int, dilation: int = 1) -> None:
        depthwise = ConvBN(c_in, c_in, 3, dilation=dilation, groups=c_in, relu=False)
        super().__init__(OrderedDict(depthwise=depthwise, pointwise=ConvBN(c_in, c_out, 1)))


def resize(x: Tensor, like: Tensor | tuple[int, int]) -> Tensor:
    """Bilinear, half-pixel centres, to the height and width of ``like``."""
    size = like if isinstance(like, tuple) else (like.shape[2], like.shape[3])
    if (x.shape[2], x.shape[3]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=False)
