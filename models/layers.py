"""The few layers that trunk, memory and heads share."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping

import torch.nn.functional as F
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval


class ConvBN(nn.Sequential):
    """Convolution (no bias) and batch norm, same-padded: (B, c_in, h, w) -> (B, c_out, ...)."""

    def __init__(
        self,
        c_in: int,
        c_out: int,
        kernel: int,
        stride: int = 1,
        dilation: int = 1,
        groups: int = 1,
        relu: bool = True,
    ) -> None:
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


def norm_after(name: str, modules: Mapping[str, nn.Module]) -> nn.BatchNorm2d | None:
    """The batch norm behind the convolution ``name``, by our naming: ``conv2`` -> ``bn2``,
    ``downsample.0`` -> ``downsample.1``, ``key_conv`` -> ``key_bn``."""
    head, _, last = name.rpartition(".")
    sibling = f"{int(last) + 1}" if last.isdigit() else re.sub(r"conv(\d?)$", r"bn\1", last)
    norm = modules.get(f"{head}.{sibling}")
    return norm if isinstance(norm, nn.BatchNorm2d) else None


def fold_norms(network: nn.Module) -> None:
    """Fold every batch norm into the convolution before it, in place; exact in eval mode.

    Convolutions gain a bias and the norms become nn.Identity. Twice changes nothing more.
    """
    modules = dict(network.named_modules())
    for name, conv in modules.items():
        norm = norm_after(name, modules) if isinstance(conv, nn.Conv2d) else None
        if norm is None:
            continue
        folded = fuse_conv_bn_eval(conv, norm)
        conv.weight, conv.bias = folded.weight, folded.bias
        norm_name = next(n for n, module in modules.items() if module is norm)
        network.set_submodule(norm_name, nn.Identity())
