"""The trunk: two variants of ResNet-50, at output stride 8, 16 or 32.

``resnet50`` has torchvision's names and stride placement (stride in the 3x3), so that ImageNet
weights load by name. ``resnet50_vd`` is the variant of the paper's release: a three-convolution
stem, average-pooled shortcuts and multi-grid dilations 1, 2, 4 in the last stage.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from models.layers import ConvBN

STAGE_CHANNELS = (256, 512, 1024, 2048)
BLOCKS = (3, 4, 6, 3)
OUTPUT_STRIDES = (8, 16, 32)


@dataclass(frozen=True)
class StagePlan:
    """The stride of a stage's first block and the dilation of each of its blocks."""

    stride: int
    dilations: tuple[int, ...]


def plan_stages(output_stride: int, multi_grid: tuple[int, ...] | None) -> list[StagePlan]:
    """Return the plan of each stage; beyond ``output_stride``, dilation replaces stride.

    Without ``multi_grid`` the first block of a dilated stage keeps the dilation of the stage
    before it, as in torchvision; with it every block is dilated, as in the release. Raises
    ValueError if the output stride is not in OUTPUT_STRIDES.
    """
    if output_stride not in OUTPUT_STRIDES:
        raise ValueError(f"The output stride must be one of {OUTPUT_STRIDES}, not {output_stride}.")
    plans, reached, dilation = [], 4, 1
    for stage, blocks in enumerate(BLOCKS):
        stride, before = (1 if stage == 0 else 2), dilation
        if reached * stride > output_stride:
            stride, dilation = 1, dilation * stride
        reached *= stride
        if multi_grid is None:
            dilations = (before, *[dilation] * (blocks - 1))
        else:
            grid = multi_grid if stage == len(BLOCKS) - 1 else (1,) * blocks
            dilations = tuple(dilation * g for g in grid)
        plans.append(StagePlan(stride, dilations))
    return plans


class Bottleneck(nn.Module):
    """1x1, 3x3, 1x1 with a shortcut; (B, c_in, h, w) -> (B, 4 * width, h/stride, w/stride).

    In training mode each sample skips the convolutions with probability ``skipped`` and takes the
    shortcut alone (stochastic depth, Huang et al. 2016).
    """

    skipped = 0.0

    def __init__(
        self, c_in: int, width: int, stride: int, dilation: int, downsample: nn.Module | None
    ) -> None:
        super().__init__()
        self.conv1 = nn.Conv2d(c_in, width, 1, bias=False)
        self.bn1 = nn.BatchNorm2d(width)
        self.conv2 = nn.Conv2d(width, width, 3, stride, dilation, dilation, bias=False)
        self.bn2 = nn.BatchNorm2d(width)
        self.conv3 = nn.Conv2d(width, 4 * width, 1, bias=False)
        self.bn3 = nn.BatchNorm2d(4 * width)
        self.relu = nn.ReLU(inplace=True)
        self.downsample = downsample

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        out = self.relu(self.bn1(self.conv1(x)))
        out = self.relu(self.bn2(self.conv2(out)))
        out = self.bn3(self.conv3(out))
        if self.training and self.skipped:
            kept = torch.rand(len(out), 1, 1, 1, device=out.device) >= self.skipped
            out = out * kept / (1 - self.skipped)
        return torch.relu_(out + shortcut)


class ResNet50(nn.Module):
    """ResNet-50 that yields C1..C4 one after another, so that memory can enhance each of them."""

    def __init__(self, output_stride: int = 16, vd: bool = False) -> None:
        super().__init__()
        self.output_stride = output_stride
        if vd:
            self.conv1: nn.Module = nn.Sequential(
                ConvBN(3, 32, 3, stride=2), ConvBN(32, 32, 3), ConvBN(32, 64, 3)
            )
            self.bn1: nn.Module = nn.Identity()
        else:
            self.conv1 = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
            self.bn1 = nn.BatchNorm2d(64)
        self.relu = nn.ReLU(inplace=True)
        self.maxpool = nn.MaxPool2d(3, 2, 1)
        plans = plan_stages(output_stride, (1, 2, 4) if vd else None)
        c_in = 64
        for index, (plan, c_out) in enumerate(zip(plans, STAGE_CHANNELS, strict=True)):
            setattr(self, f"layer{index + 1}", _stage(c_in, c_out, plan, vd))
            c_in = c_out

    def skip_blocks(self, most: float) -> None:
        """Set the probability with which training skips each block.

        It rises linearly from 0 for the first block to ``most`` for the last.
        """
        blocks = [module for module in self.modules() if isinstance(module, Bottleneck)]
        for depth, block in enumerate(blocks):
            block.skipped = most * depth / (len(blocks) - 1)

    def stages(self, image: Tensor) -> Iterator[Tensor]:
        """Yield C1, C2, C3, C4 of a normalised image (B, 3, H, W), each (B, c, h, w)."""
        x = self.maxpool(self.relu(self.bn1(self.conv1(image))))
        for index in range(1, 5):
            x = self.get_submodule(f"layer{index}")(x)
            yield x

    def forward(self, image: Tensor) -> tuple[Tensor, ...]:
        return tuple(self.stages(image))


def _stage(c_in: int, c_out: int, plan: StagePlan, vd: bool) -> nn.Sequential:
    width, blocks = c_out // 4, []
    for index, dilation in enumerate(plan.dilations):
        first = index == 0
        shortcut = _shortcut(c_in, c_out, plan.stride, vd) if first else None
        stride = plan.stride if first else 1
        blocks.append(Bottleneck(c_in if first else c_out, width, stride, dilation, shortcut))
    return nn.Sequential(*blocks)


def _shortcut(c_in: int, c_out: int, stride: int, vd: bool) -> nn.Sequential:
    pooled = vd and stride > 1
    conv = nn.Conv2d(c_in, c_out, 1, 1 if pooled else stride, bias=False)
    parts: list[nn.Module] = [conv, nn.BatchNorm2d(c_out)]
    if pooled:
        # At the border the release averages only the positions inside the map.
        parts.insert(0, nn.AvgPool2d(2, 2, ceil_mode=True, count_include_pad=False))
    return nn.Sequential(*parts)


def load_imagenet(trunk: ResNet50, state: dict[str, Tensor]) -> None:
    """Load ImageNet weights under torchvision's names; the classifier ``fc`` is ignored.

    Raises ValueError, naming the weights, if any is missing, unknown or of another shape.
    """
    wanted = trunk.state_dict()
    given = {name: tensor for name, tensor in state.items() if not name.startswith("fc.")}
    counters = {name for name in wanted if name.endswith("num_batches_tracked")}
    missing = sorted(wanted.keys() - given.keys() - counters)
    unknown = sorted(given.keys() - wanted.keys())
    misshapen = sorted(n for n in wanted.keys() & given.keys() if wanted[n].shape != given[n].shape)
    if missing or unknown or misshapen:
        raise ValueError(
            "These are not torchvision's resnet50 weights; start from those "
            f"(missing {missing[:3]}, unknown {unknown[:3]}, of another shape {misshapen[:3]})."
        )
    trunk.load_state_dict(given, strict=False)
