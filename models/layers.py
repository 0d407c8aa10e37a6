"""The few layers that trunk, memory and heads share."""

from __future__ import annotations

import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext

import torch
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


class PyramidPooling(nn.Module):
    """Means over 1, 4, 9 and 36 parts of the map, beside the map itself, fused by a 3x3
    convolution (Zhao et al. 2017): (B, c_in, h, w) -> (B, c_out, h, w)."""

    BINS = (1, 2, 3, 6)

    def __init__(self, c_in: int, c_out: int, align_corners: bool = False) -> None:
        super().__init__()
        self.align_corners = align_corners
        reduced = c_in // len(self.BINS)
        self.branches = nn.ModuleList([ConvBN(c_in, reduced, 1) for _ in self.BINS])
        self.fuse = ConvBN(c_in + reduced * len(self.BINS), c_out, 3)

    def forward(self, x: Tensor) -> Tensor:
        pooled = zip(self.branches, pool(x, self.BINS), strict=True)
        parts = [resize(branch(part), x, self.align_corners) for branch, part in pooled]
        fused: Tensor = self.fuse(torch.cat([x, *reversed(parts)], dim=1))
        return fused


def pool(x: Tensor, bins: Sequence[int]) -> list[Tensor]:
    """Adaptive average pooling (B, c, h, w) -> (B, c, b, b) for each b of ``bins``, in float32.

    It is P_h X P_w^T with two constant matrices: exact at every size, where exporters of
    adaptive pooling are wrong off the traced one.
    """
    height, width = x.shape[2:]
    columns = torch.cat([pooling_matrix(width, b, x.device) for b in bins])
    with exactly(x):
        means = torch.split(x.float() @ columns.T, list(bins), dim=3)
        rows = [pooling_matrix(height, b, x.device) for b in bins]
        return [(p @ mean).to(x.dtype) for p, mean in zip(rows, means, strict=True)]


def pooling_matrix(length: int, bins: int, device: torch.device) -> Tensor:
    """P (bins, length): row i takes the mean of all cells that touch the i-th part of the line."""
    cell = torch.arange(length, device=device)
    part = torch.arange(bins, device=device)[:, None]
    touches = ((cell + 1) * bins > part * length) & (cell * bins < (part + 1) * length)
    return touches.float() / touches.sum(dim=1, keepdim=True)


def autocasts(x: Tensor) -> bool:
    """Is autocast on for ``x``'s type of device? Some types, meta among them, know none."""
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def exactly(x: Tensor) -> AbstractContextManager[object]:
    """Autocast off on ``x``'s device, where it was on: float32 stays float32."""
    return torch.autocast(x.device.type, enabled=False) if autocasts(x) else nullcontext()


def resize(x: Tensor, like: Tensor | tuple[int, int], align_corners: bool = False) -> Tensor:
    """Bilinear, half-pixel centres unless corners are aligned, to ``like``'s height and width."""
    size = like if isinstance(like, tuple) else (like.shape[2], like.shape[3])
    if (x.shape[2], x.shape[3]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


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
