"""Count the cost of the network from its own modules, on meta tensors, so nothing is computed.

The unit is G, 1e9 multiply-accumulates (MACs). Table 4 of the paper counts differently: the key
convolution at full resolution and twice (for query and for memory), and only the two products of
the attention at half resolution.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cache

import torch
from torch import Tensor, nn
from torch.utils.flop_counter import FlopCounterMode

from models.backbone import ResNet50
from models.build import HEADS, Recipe, build
from models.memory import PCMA, StageFifo, attend
from models.options import MemoryOptions, memory_options

SIZE = 640
OUTPUT_STRIDE = 8
CLASSES = 11
KEY_CONV_G = 45.2985
"""The cost in G of the key convolution at full resolution, divided by r squared."""
ATTENTION_G = 21.62688
"""The cost in G of the attention, divided by r T."""


@dataclass(frozen=True)
class MemoryCost:
    """The cost in G of the memory of stages 1-3 per frame, at 640x640 and output stride 8.

    ``counted`` is counted as in the paper; the others are true MACs: ``full`` convolves at full
    resolution, as the release does, ``strided`` uses our strided convolution, and ``ours`` is a
    whole step of ours, with keys padded to the values' width.
    """

    frames: int
    ratio: float
    counted: float
    full: float
    strided: float
    ours: float

    @property
    def closed_form(self) -> float:
        """The cost as counted in the paper, by a formula that fits its Table 4 within 0.015."""
        return 2 * KEY_CONV_G * self.ratio**2 + ATTENTION_G * self.ratio * self.frames


@dataclass(frozen=True)
class HeadCost:
    """Parameters and cost in G of one head as served, at 640x640, output stride 8, 11 classes.

    Parts that only an auxiliary loss needs are not counted.
    """

    head: str
    parameters: int
    cost: float


def macs(compute: Callable[[], object]) -> float:
    """Return the MACs, in G, of all products and convolutions in ``compute``."""
    with torch.no_grad(), FlopCounterMode(display=False) as counter:
        compute()
    return float(counter.get_total_flops()) / 2 / 1e9


@cache
@torch.no_grad()
def trunk_maps() -> tuple[float, tuple[Tensor, ...]]:
    """Return the cost in G of ResNet50-vd's convolutions, and its maps C1..C4 as meta tensors."""
    with torch.device("meta"):
        trunk = ResNet50(OUTPUT_STRIDE, vd=True).eval()
        image = torch.empty(1, 3, SIZE, SIZE)
        return macs(lambda: trunk(image)), trunk(image)


def memory_cost(frames: int, ratio: float) -> MemoryCost:
    """Return the cost of a full memory of ``frames`` frames with ``ratio`` of the channels."""
    options = memory_options("release", frames=frames, ratio=ratio)
    assert options.stages, "the release names its stages"
    features = {stage: trunk_maps()[1][stage - 1] for stage in options.stages}
    with torch.device("meta"):
        full, strided, attention, ours = (
            sum(cost(feature, options) for feature in features.values())
            for cost in (_full_key, _strided_key, _attention, _whole)
        )
    return MemoryCost(
        frames, ratio, 2 * full + attention, full + attention, strided + attention, ours
    )


def _full_key(feature: Tensor, options: MemoryOptions) -> float:
    module = PCMA(feature.shape[1], options)
    module.key_conv.stride = (1, 1)
    return macs(lambda: module.key_conv(feature[:, -module.width :]))


def _strided_key(feature: Tensor, options: MemoryOptions) -> float:
    module = PCMA(feature.shape[1], options)
    return macs(lambda: module.key_conv(feature[:, -module.width :]))


def _attention(feature: Tensor, options: MemoryOptions) -> float:
    """Return the cost of both products, with keys at their own width."""
    module = PCMA(feature.shape[1], options)
    fifo = _fifo(module, feature)
    keys, values = (entries.flatten(1, 2) for entries in fifo)
    return macs(lambda: attend(fifo.key[:, 0], keys, values))


def _whole(feature: Tensor, options: MemoryOptions) -> float:
    module = PCMA(feature.shape[1], options).eval()
    count = torch.full((1,), options.frames)
    return macs(lambda: module(feature, _fifo(module, feature), count))


def _fifo(module: PCMA, feature: Tensor) -> StageFifo:
    slots = (1, module.options.frames, module.tokens(*feature.shape[2:]))
    return StageFifo(torch.empty(*slots, module.key_width), torch.empty(*slots, module.width))


def head_costs() -> Iterator[HeadCost]:
    """Return the cost of every head of models.build, in that order."""
    return map(head_cost, HEADS)


def head_cost(name: str) -> HeadCost:
    """Return the cost of one head by its name."""
    maps = trunk_maps()[1]
    head = build(Recipe(name, "resnet50", CLASSES, OUTPUT_STRIDE)).head.to("meta").eval()
    called: set[nn.Module] = set()
    for module in head.modules():
        module.register_forward_pre_hook(lambda module, _: called.add(module))
    cost = macs(lambda: head(maps))
    parameters = sum(p.numel() for m in called for p in m.parameters(recurse=False))
    return HeadCost(name, parameters, cost)


def trunk_parameters() -> int:
    """Return the number of parameters of ResNet50-vd without its classifier."""
    with torch.device("meta"):
        return sum(p.numel() for p in ResNet50(OUTPUT_STRIDE, vd=True).parameters())
