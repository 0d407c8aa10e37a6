"""A picture on a device: an array where one is wanted, by a copy that is counted."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from server.frame import HOST, HOST_COPIES, DevicePixels, Pixels, host_pixels


class Buffer:
    """Memory of a device, held in the host's."""

    def __init__(self, pixels: Pixels) -> None:
        self.pixels = pixels

    def numpy(self) -> NDArray[Any]:
        return self.pixels.copy()


Make = Callable[[int], DevicePixels]


@pytest.fixture
def picture() -> Pixels:
    return np.random.default_rng(0).integers(0, 256, (4, 6, 3), np.uint8)


@pytest.fixture
def make(picture: Pixels) -> Make:
    address = picture.ctypes.data
    return lambda device: DevicePixels((4, 6, 3), device, address, Buffer(picture))


def test_it_looks_like_the_array_that_it_stands_for(picture: Pixels, make: Make) -> None:
    pixels = make(0)
    assert (pixels.shape, pixels.dtype) == (picture.shape, picture.dtype)
    assert pixels.nbytes == picture.nbytes


def test_each_copy_to_the_host_is_counted(picture: Pixels, make: Make) -> None:
    pixels, before = make(0), HOST_COPIES.count
    np.testing.assert_array_equal(np.asarray(pixels), picture)
    np.testing.assert_array_equal(host_pixels(pixels), picture)
    np.testing.assert_array_equal(np.stack([pixels, pixels]), [picture, picture])
    assert HOST_COPIES.count == before + 4


def test_a_copy_that_must_not_be_is_refused(make: Make) -> None:
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(make(0), copy=False)


def test_what_is_in_the_hosts_memory_is_seen_there(picture: Pixels, make: Make) -> None:
    pixels, before = make(HOST), HOST_COPIES.count
    view = host_pixels(pixels)
    np.testing.assert_array_equal(view, picture)
    picture[0, 0, 0] ^= 255
    assert view[0, 0, 0] == picture[0, 0, 0]
    assert HOST_COPIES.count == before


def test_an_array_is_itself(picture: Pixels) -> None:
    assert host_pixels(picture) is picture
