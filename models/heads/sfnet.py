"""SFNet (Li et al. 2020, semantic flow) with the layers of PaddleSeg, which the release uses."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from models.heads.base import Head, ReleasePath
from models.layers import ConvBN, PyramidPooling, resize

WIDTH = 256
"""The number of channels at every level of the pyramid."""


class SFNet(Head):
    """Reads C1..C4; logits (B, classes, h1, w1) at C1's size.

    In training the release can supervise each level (``dsn``). Ours cannot; it ignores those
    weights of a checkpoint.
    """

    stages = (1, 2, 3, 4)
    least_batch = 2
    release_paths = (
        ReleasePath(r"pyramid\.branches\.(\d)\.conv", r"ppm.stages.\1.1", True),
        ReleasePath(r"pyramid\.fuse\.conv", r"ppm.conv_bn_relu2", True),
        ReleasePath(r"lateral\.(\d)\.conv", r"fpn_in.\1", True, conv=".0", norm=".1"),
        ReleasePath(r"align\.(\d)\.fine", r"fpn_out_align.\1.down_l"),
        ReleasePath(r"align\.(\d)\.coarse", r"fpn_out_align.\1.down_h"),
        ReleasePath(r"align\.(\d)\.flow", r"fpn_out_align.\1.flow_make"),
        ReleasePath(r"smooth\.(\d)\.conv", r"fpn_out.\1.0"),
        ReleasePath(r"fuse\.conv", r"conv_last.0"),
        ReleasePath(r"classify", r"conv_last.1"),
    )

    def __init__(self, channels: Sequence[int], classes: int, output_stride: int) -> None:
        del output_stride
        super().__init__()
        self.pyramid = PyramidPooling(channels[3], WIDTH, align_corners=True)
        self.lateral = nn.ModuleList([ConvBN(c, WIDTH, 1) for c in channels[:3]])
        self.align = nn.ModuleList([FlowAlignment(WIDTH) for _ in channels[:3]])
        self.smooth = nn.ModuleList([ConvBN(WIDTH, WIDTH, 3) for _ in channels[:3]])
        self.fuse = ConvBN(len(channels) * WIDTH, WIDTH, 3)
        self.classify = nn.Conv2d(WIDTH, classes, 1)

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        """Return logits (B, classes, h1, w1) of C1..C4 at C1's size."""
        coarse = self.pyramid(features[3])
        levels = [coarse]
        for index in (2, 1, 0):
            fine = self.lateral[index](features[index])
            coarse = fine + self.align[index](fine, coarse)
            levels.insert(0, self.smooth[index](coarse))
        fused = self.fuse(torch.cat([resize(x, levels[0], True) for x in levels], dim=1))
        logits: Tensor = self.classify(fused)
        return logits


class FlowAlignment(nn.Module):
    """Warp a coarse map to the size of a fine one, along the flow between them (section 3.2).

    fine (B, c, h, w), coarse (B, c, h', w') -> warped coarse map (B, c, h, w).
    """

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.fine = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.coarse = nn.Conv2d(channels, channels // 2, 1, bias=False)
        self.flow = nn.Conv2d(channels, 2, 3, padding=1, bias=False)

    def forward(self, fine: Tensor, coarse: Tensor) -> Tensor:
        raised = resize(self.coarse(coarse), fine, align_corners=True)
        flow = self.flow(torch.cat([raised, self.fine(fine)], dim=1))
        return warp(coarse, flow)


def warp(x: Tensor, flow: Tensor) -> Tensor:
    """Sample ``x`` (B, c, h', w') at the positions that ``flow`` (B, 2, h, w) points to.

    Returns (B, c, h, w). Corners are aligned and the map is 0 beyond them. Positions span -1..1; a
    flow of (a, b) adds (a/w, b/h), so 1 is about half a pixel of the fine map. Positions are
    float32, since in half precision they would be off by a tenth of a pixel.
    """
    height, width = flow.shape[2:]
    flow = flow.float()
    across = torch.linspace(-1, 1, width, device=x.device) + flow[:, 0] / width
    down = torch.linspace(-1, 1, height, device=x.device)[:, None] + flow[:, 1] / height
    grid = torch.stack([across, down], dim=-1)
    return F.grid_sample(x.float(), grid, align_corners=True).to(x.dtype)
