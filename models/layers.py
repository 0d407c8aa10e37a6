"""Layers that trunk, memory and heads share."""

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
    """Convolution without bias and batch norm, then ReLU if ``relu``; same padding.

    (B, c_in, h, w) -> (B, c_out, ceil(h / stride), ceil(w / stride)) for an odd kernel.
    """

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
    """Depthwise 3x3 with batch norm, then pointwise with batch norm and ReLU.

    (B, c_in, h, w) -> (B, c_out, h, w).
    """

    def __init__(self, c_in: int, c_out: int, dilation: int = 1) -> None:
        depthwise = ConvBN(c_in, c_in, 3, dilation=dilation, groups=c_in, relu=False)
        super().__init__(OrderedDict(depthwise=depthwise, pointwise=ConvBN(c_in, c_out, 1)))


class PyramidPooling(nn.Module):
    """Pyramid pooling (Zhao et al. 2017): (B, c_in, h, w) -> (B, c_out, h, w).

    The map is concatenated with its means over grids of 1x1, 2x2, 3x3 and 6x6 parts, and a 3x3
    convolution fuses them.
    """

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
    """Pool (B, c, h, w) adaptively by means to (B, c, b, b) for each b of ``bins``, in float32.

    Each result is P_h X P_w^T with two constant matrices. That is exact at every size, whereas
    exported adaptive pooling is wrong at sizes other than the traced one.
    """
    height, width = x.shape[2:]
    columns = torch.cat([pooling_matrix(width, b, x.device) for b in bins])
    with exactly(x):
        means = torch.split(x.float() @ columns.T, list(bins), dim=3)
        rows = [pooling_matrix(height, b, x.device) for b in bins]
        return [(p @ mean).to(x.dtype) for p, mean in zip(rows, means, strict=True)]


def pooling_matrix(length: int, bins: int, device: torch.device) -> Tensor:
    """Return P (bins, length), whose row i averages all cells that overlap part i of the line."""
    cell = torch.arange(length, device=device)
    part = torch.arange(bins, device=device)[:, None]
    touches = ((cell + 1) * bins > part * length) & (cell * bins < (part + 1) * length)
    return touches.float() / touches.sum(dim=1, keepdim=True)


def autocasts(x: Tensor) -> bool:
    """Return whether autocast is on for ``x``'s type of device.

    Some types, such as meta, do not support autocast.
    """
    device = x.device.type
    return torch.amp.is_autocast_available(device) and torch.is_autocast_enabled(device)


def exactly(x: Tensor) -> AbstractContextManager[object]:
    """Return a context with autocast off on ``x``'s device, in which float32 stays float32."""
    return torch.autocast(x.device.type, enabled=False) if autocasts(x) else nullcontext()


def resize(x: Tensor, like: Tensor | tuple[int, int], align_corners: bool = False) -> Tensor:
    """Resize (B, c, h, w) bilinearly to the height and width of ``like``.

    Pixel centres are at half pixels unless corners are aligned.
    """
    size = like if isinstance(like, tuple) else (like.shape[2], like.shape[3])
    if (x.shape[2], x.shape[3]) == size:
        return x
    return F.interpolate(x, size=size, mode="bilinear", align_corners=align_corners)


def norm_after(name: str, modules: Mapping[str, nn.Module]) -> nn.BatchNorm2d | None:
    """Return the batch norm that follows the convolution ``name``, or None.

    It is found by its name: ``conv2`` -> ``bn2``, ``downsample.0`` -> ``downsample.1``,
    ``key_conv`` -> ``key_bn``.
    """
    head, _, last = name.rpartition(".")
    sibling = f"{int(last) + 1}" if last.isdigit() else re.sub(r"conv(\d?)$", r"bn\1", last)
    norm = modules.get(f"{head}.{sibling}")
    return norm if isinstance(norm, nn.BatchNorm2d) else None


def fold_norms(network: nn.Module) -> None:
    """Fold every batch norm into the convolution before it, in place; exact in eval mode.

    Convolutions gain a bias and the norms become nn.Identity. Idempotent.
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
