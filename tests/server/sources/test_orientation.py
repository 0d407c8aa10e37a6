"""Display matrices."""

from __future__ import annotations

import struct

import numpy as np
import pytest

from server.sources.orientation import UPRIGHT, Orientation

PICTURE = np.arange(2 * 3 * 3, dtype=np.uint8).reshape(2, 3, 3)
ONE = 1 << 16


def matrix(a: int, b: int, c: int, d: int) -> bytes:
    return struct.pack("=9i", a, b, 0, c, d, 0, 0, 0, 1 << 30)


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ((ONE, 0, 0, ONE), UPRIGHT),
        ((0, ONE, -ONE, 0), Orientation(90)),
        ((-ONE, 0, 0, -ONE), Orientation(180)),
        ((0, -ONE, ONE, 0), Orientation(270)),
        ((-ONE, 0, 0, ONE), Orientation(0, mirrored=True)),
        ((ONE, 0, 0, -ONE), Orientation(180, mirrored=True)),
        ((64000, 9000, -9000, 64000), UPRIGHT),
    ],
)
def test_matrices(values: tuple[int, int, int, int], expected: Orientation) -> None:
    assert Orientation.from_matrix(matrix(*values)) == expected


@pytest.mark.parametrize("clockwise", [0, 90, 180, 270])
@pytest.mark.parametrize("mirrored", [False, True])
def test_apply_does_what_the_matrix_says(clockwise: int, mirrored: bool) -> None:
    turned = Orientation(clockwise, mirrored)
    expected = np.rot90(PICTURE[:, ::-1] if mirrored else PICTURE, -clockwise // 90)
    applied = turned.apply(PICTURE)
    np.testing.assert_array_equal(applied, expected)
    assert applied.flags.c_contiguous
    assert applied.shape[:2] == turned.size(2, 3)


def test_an_upright_picture_is_not_copied() -> None:
    assert UPRIGHT.apply(PICTURE) is PICTURE
