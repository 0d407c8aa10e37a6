"""Taps of dilated convolutions that no map of a crop reaches, and that learn nothing from it.

At output stride 16 a crop of 256 rows gives maps of 16, and a tap 18 rows away meets padding alone:
no gradient comes, the random start stays. Larger pictures run it all the same.
"""

from __future__ import annotations

import torch
from torch import nn

from models.segmenter import Segmenter, stage_size


@torch.no_grad()
def silence_unreached(network: Segmenter, crop: tuple[int, int]) -> int:
    """Set the head's taps to 0 that meet padding alone on C4 of crops (height, width).

    Returns how many of all channels' weights there were.
    """
    trunk, silenced = network.encoder.trunk, 0
    rows, columns = (stage_size(pixels, 4, trunk) for pixels in crop)
    for module in network.head.modules():
        if not isinstance(module, nn.Conv2d) or max(module.dilation) == 1:
            continue
        high, wide = (
            distances(kernel, dilation) >= reach
            for kernel, dilation, reach in zip(
                module.kernel_size, module.dilation, (rows, columns), strict=True
            )
        )
        unreached = (high[:, None] | wide).expand_as(module.weight)
        silenced += int(unreached.sum())
        module.weight[unreached] = 0
    return silenced


def distances(kernel: int, dilation: int) -> torch.Tensor:
    """How far each tap of an odd kernel is from the middle one, in positions."""
    return (torch.arange(kernel) - kernel // 2).abs() * dilation
