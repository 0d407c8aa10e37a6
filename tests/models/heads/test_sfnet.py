"""SFNet's warping by explicit indices, and its head written out on the release's parameters."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from torch import Tensor

from models.heads.sfnet import warp
from models.parity import main, prescribed, release_network
from models.release import release_shapes


def warp_by_index(x: NDArray[np.float32], flow: NDArray[np.float32]) -> NDArray[np.float64]:
    """One sample: x (c, h', w'), flow (2, h, w) -> (c, h, w), a pixel and a corner at a time."""
    _, source_height, source_width = x.shape
    _, height, width = flow.shape
    warped = np.zeros((len(x), height, width))
    for i, j in np.ndindex(height, width):
        across = -1 + 2 * j / max(1, width - 1) + flow[0, i, j] / width
        down = -1 + 2 * i / max(1, height - 1) + flow[1, i, j] / height
        column, row = (across + 1) / 2 * (source_width - 1), (down + 1) / 2 * (source_height - 1)
        for r in (int(np.floor(row)), int(np.floor(row)) + 1):
            for c in (int(np.floor(column)), int(np.floor(column)) + 1):
                if 0 <= r < source_height and 0 <= c < source_width:
                    warped[:, i, j] += x[:, r, c] * (1 - abs(row - r)) * (1 - abs(column - c))
    return warped


@pytest.mark.parametrize("coarse", [(4, 7), (5, 3), (9, 11)])
@pytest.mark.parametrize("reach", [0.0, 3.0, 30.0])
def test_warping_is_sampling_where_the_flow_points(coarse: tuple[int, int], reach: float) -> None:
    torch.manual_seed(0)
    x, flow = torch.randn(2, 3, *coarse), torch.randn(2, 2, 9, 11) * reach
    ours = warp(x, flow).numpy()
    for sample in range(2):
        wanted = warp_by_index(x[sample].numpy(), flow[sample].numpy())
        np.testing.assert_allclose(ours[sample], wanted, rtol=1e-3, atol=1e-4)


def test_no_flow_is_plain_enlargement_with_corners_aligned() -> None:
    x = torch.randn(1, 2, 5, 6)
    plain = F.interpolate(x, (9, 11), mode="bilinear", align_corners=True)
    torch.testing.assert_close(warp(x, torch.zeros(1, 2, 9, 11)), plain, rtol=1e-4, atol=1e-5)


def test_positions_are_float32_in_half_precision() -> None:
    """A ramp of 200 columns, read back: fp16 positions near 1 are 2**-11 apart, a tenth of one."""
    ramp = torch.arange(200.0).expand(1, 1, 4, 200)
    warped = warp(ramp.half(), torch.zeros(1, 2, 4, 200).half())
    assert warped.dtype == torch.float16
    torch.testing.assert_close(warped, ramp.half(), rtol=0, atol=1e-3)


class Written:
    """The layer list, run on the release's own names by elementary operations alone."""

    def __init__(self, state: dict[str, Tensor]) -> None:
        self.state = state

    def conv(self, x: Tensor, path: str, padding: int = 0) -> Tensor:
        bias = self.state.get(f"head.{path}.bias")
        return F.conv2d(x, self.state[f"head.{path}.weight"], bias, padding=padding)

    def norm(self, x: Tensor, path: str) -> Tensor:
        """Batch norm, then ReLU."""
        kept = ("_mean", "_variance", "weight", "bias")
        mean, variance, weight, bias = (
            self.state[f"head.{path}.{name}"][:, None, None] for name in kept
        )
        return ((x - mean) / (variance + 1e-5).sqrt() * weight + bias).relu()

    def pair(self, x: Tensor, path: str, padding: int = 0) -> Tensor:
        return self.norm(self.conv(x, f"{path}._conv", padding), f"{path}._batch_norm")

    def pyramid(self, c4: Tensor) -> Tensor:
        parts = [
            enlarge(self.pair(F.adaptive_avg_pool2d(c4, size), f"ppm.stages.{i}.1"), c4)
            for i, size in enumerate((1, 2, 3, 6))
        ]
        return self.pair(torch.cat([c4, *parts[::-1]], dim=1), "ppm.conv_bn_relu2", 1)

    def aligned(self, fine: Tensor, coarse: Tensor, level: int) -> Tensor:
        path = f"fpn_out_align.{level}"
        both = [
            enlarge(self.conv(coarse, f"{path}.down_h"), fine),
            self.conv(fine, f"{path}.down_l"),
        ]
        flow = self.conv(torch.cat(both, dim=1), f"{path}.flow_make", 1)
        return torch.from_numpy(warp_by_index(coarse[0].numpy(), flow[0].numpy())[None]).float()

    def logits(self, maps: list[Tensor]) -> Tensor:
        top = self.pyramid(maps[3])
        levels = [top]
        for level in (2, 1, 0):
            fine = self.norm(self.conv(maps[level], f"fpn_in.{level}.0"), f"fpn_in.{level}.1")
            top = fine + self.aligned(fine, top, level)
            levels.append(self.pair(top, f"fpn_out.{level}.0", 1))
        finest_first = [enlarge(x, levels[-1]) for x in reversed(levels)]
        fused = self.pair(torch.cat(finest_first, dim=1), "conv_last.0", 1)
        return self.conv(fused, "conv_last.1")


def enlarge(x: Tensor, like: Tensor) -> Tensor:
    return F.interpolate(x, like.shape[2:], mode="bilinear", align_corners=True)


@torch.no_grad()
def test_the_head_computes_the_layer_list_on_the_releases_parameters() -> None:
    network = release_network("sfnet", 5, "a:")
    state = {
        name: torch.from_numpy(prescribed(name, shape, "a:"))
        for name, shape in release_shapes(network).items()
        if name.startswith("head.")
    }
    maps = [
        torch.rand(1, channels, *size)
        for channels, size in zip(
            (256, 512, 1024, 2048), ((13, 18), (7, 9), (7, 9), (4, 5)), strict=True
        )
    ]
    ours, wanted = network.head(maps), Written(state).logits(maps)
    error = (ours - wanted).abs().max() / wanted.abs().max()
    assert float(error) < 1e-5


def test_vectors_of_paddlesegs_own_head_are_matched(capsys: pytest.CaptureFixture[str]) -> None:
    """54x70 frames of noise; logits by PaddleSeg's SFNet in Paddle on the encoder's maps."""
    vectors = Path(__file__).with_name("paddleseg_sfnet.npz")
    assert main([str(vectors), "--head", "sfnet"]) == 0
    assert "logits_t2" in capsys.readouterr().out
