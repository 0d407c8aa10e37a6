"""Pooling by matrices, and pyramids of it."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F

from models.layers import PyramidPooling, pool, pooling_matrix, resize

BINS = PyramidPooling.BINS


@pytest.mark.parametrize(
    ("height", "width"), [(80, 80), (22, 30), (45, 61), (35, 18), (7, 13), (6, 1), (2, 5)]
)
def test_pooling_by_matrices_is_adaptive_pooling(height: int, width: int) -> None:
    x = torch.rand(2, 3, height, width, dtype=torch.float64).float()
    for size, ours in zip(BINS, pool(x, BINS), strict=True):
        torch.testing.assert_close(ours, F.adaptive_avg_pool2d(x, size), rtol=1e-5, atol=1e-6)


def test_a_row_of_the_matrix_is_a_mean_of_neighbouring_cells() -> None:
    matrix = pooling_matrix(5, 3, torch.device("cpu"))
    assert matrix.tolist() == [
        [0.5, 0.5, 0, 0, 0],
        [0, pytest.approx(1 / 3), pytest.approx(1 / 3), pytest.approx(1 / 3), 0],
        [0, 0, 0, 0.5, 0.5],
    ]


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_means_of_half_precision_are_made_in_float32(dtype: torch.dtype) -> None:
    x = (torch.rand(1, 2, 60, 80) * 40 + 1000).to(dtype)
    (mean,) = pool(x, (1,))
    assert mean.dtype == dtype
    torch.testing.assert_close(mean, x.float().mean(dim=(2, 3), keepdim=True).to(dtype))


def test_autocast_leaves_the_means_in_float32() -> None:
    x = torch.rand(1, 2, 9, 11) + 100
    with torch.autocast("cpu", torch.bfloat16):
        found = pool(x, BINS)
    for ours, plain in zip(found, pool(x, BINS), strict=True):
        assert torch.equal(ours, plain)


@pytest.mark.parametrize("align_corners", [False, True])
@torch.no_grad()
def test_the_pyramid_is_fused_with_its_finest_part_first(align_corners: bool) -> None:
    pyramid, x = PyramidPooling(16, 8, align_corners).eval(), torch.rand(1, 16, 7, 10)
    parts = [
        F.interpolate(
            branch(F.adaptive_avg_pool2d(x, size)),
            (7, 10),
            mode="bilinear",
            align_corners=align_corners,
        )
        for size, branch in zip(BINS, pyramid.branches, strict=True)
    ]
    wanted = pyramid.fuse(torch.cat([x, parts[3], parts[2], parts[1], parts[0]], dim=1))
    torch.testing.assert_close(pyramid(x), wanted)


def test_resizing_to_the_same_size_is_nothing() -> None:
    x = torch.rand(1, 1, 3, 4)
    assert resize(x, (3, 4), align_corners=True) is x
    corners = resize(x, (5, 9), align_corners=True)
    assert torch.equal(corners[..., ::4, ::8], x[..., ::2, ::3])
