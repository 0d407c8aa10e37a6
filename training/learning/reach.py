"""Silence the taps of dilated convolutions that learn nothing because crops are too small.

At output stride 16 a crop of 256 rows gives maps of 16 rows, so a tap 18 rows away reads only
padding: it gets no gradient and keeps its random initial value. Larger pictures nevertheless use
it.
"""

from __future__ import annotations

import torch
from torch import nn

from models.segmenter import Segmenter, stage_size


@torch.no_grad()
def silence_unreached(network: Segmenter, crop: tuple[int, int]) -> int:
    """Set to 0 the head's taps that read only padding on C4 of crops (height, width).

    Returns the number of weights that were set, over all channels.
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
    """Return the distance of each tap of an odd kernel from the middle one, in positions."""
    return (torch.arange(kernel) - kernel // 2).abs() * dilation
