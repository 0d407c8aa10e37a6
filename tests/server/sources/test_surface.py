"""The weights that stand for a layout, a turn, a scaling and a colour space."""

from __future__ import annotations

import numpy as np
import pytest
from numpy.typing import NDArray

from server.sources.orientation import UPRIGHT, Orientation
from server.sources.pictures.picture import fit
from server.sources.surface import Layout, colours, resampling

ALL_TURNS = [
    Orientation(turn, mirrored) for turn in (0, 90, 180, 270) for mirrored in (False, True)
]


def bytes_of(samples: NDArray[np.uint8], pitch: int) -> NDArray[np.float32]:
    """Rows with padding that must not count."""
    rows = np.full((len(samples), pitch), 199, np.float32)
    rows[:, : samples.shape[1]] = samples
    return rows


@pytest.mark.parametrize("turn", ALL_TURNS, ids=str)
@pytest.mark.parametrize("size", [(10, 16), (5, 7), (30, 40), (6, 40)])
def test_luma_is_scaled_and_turned_as_fit_and_apply_do(
    turn: Orientation, size: tuple[int, int]
) -> None:
    grey = np.random.default_rng(0).integers(0, 256, (10, 16), np.uint8)
    found = resampling(Layout(10, 16, 32, 32), turn, *size)
    scaled = found.luma_rows @ bytes_of(grey, 32) @ found.luma_columns[0]
    expected = fit(turn.apply(np.repeat(grey[..., None], 3, axis=2)), *size)[..., 0]
    assert found.turned == (turn.clockwise in (90, 270))
    np.testing.assert_allclose(scaled.T if found.turned else scaled, expected, atol=1.01)


@pytest.mark.parametrize(("height", "width"), [(10, 16), (9, 15)])
def test_chroma_stands_for_two_by_two_pixels(height: int, width: int) -> None:
    rows, columns = (height + 1) // 2, (width + 1) // 2
    uv = np.random.default_rng(1).integers(0, 256, (rows, columns, 2), np.uint8)
    found = resampling(Layout(height, width, 32, 32), UPRIGHT, height, width)
    planes = found.chroma_rows @ bytes_of(uv.reshape(rows, -1), 32) @ found.chroma_columns
    doubled = uv.repeat(2, axis=0).repeat(2, axis=1)[:height, :width]
    np.testing.assert_allclose(planes, np.moveaxis(doubled, -1, 0), atol=1e-3)


def test_two_bytes_a_sample_count_as_one_number() -> None:
    values = np.random.default_rng(2).integers(0, 1024, (6, 8)).astype("<u2") << 6
    found = resampling(Layout(6, 8, 24, 24, sample_bytes=2), UPRIGHT, 6, 8)
    scaled = found.luma_rows @ bytes_of(values.view(np.uint8), 24) @ found.luma_columns[0]
    np.testing.assert_allclose(scaled, values / 256, atol=1e-3)


@pytest.mark.parametrize("matrix", [1, 2, 4, 5, 6, 7, 9, 10])
@pytest.mark.parametrize("full", [False, True])
def test_grey_has_no_colour_and_uses_the_whole_range(matrix: int, full: bool) -> None:
    weights, offset = colours(matrix, full)
    black, white = (0, 255) if full else (16, 235)
    yuv = np.array([[black, 128, 128], [white, 128, 128]], np.float32)
    np.testing.assert_allclose(yuv @ weights + offset, [[0] * 3, [255] * 3], atol=1e-3)


@pytest.mark.parametrize(
    ("matrix", "red"), [(1, (63, 102, 240)), (6, (81, 90, 240)), (9, (74, 97, 240))]
)
def test_red_is_red_in_every_matrix(matrix: int, red: tuple[int, int, int]) -> None:
    """The 8-bit code values of full red, from each recommendation's equations."""
    weights, offset = colours(matrix, full=False)
    rgb = np.array(red, np.float32) @ weights + offset
    np.testing.assert_allclose(rgb, [255, 0, 0], atol=1.5)
