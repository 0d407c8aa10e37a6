"""Regions are what pycocotools makes of the same masks."""

from __future__ import annotations

import numpy as np
import pytest
from pycocotools import mask as coco

from server.frame import Labels
from server.sinks.coco_rle import regions, text_of

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""pycocotools' own."""

RANDOM = np.random.default_rng(0)


def noise(height: int, width: int, classes: int) -> Labels:
    return RANDOM.integers(0, classes, (height, width), np.uint8)


def blocks(height: int, width: int) -> Labels:
    """Large areas, so that runs are longer than one column."""
    labels = np.zeros((height, width), np.uint8)
    labels[:, width // 3 : width // 2] = 7
    labels[height // 2 :, width // 2 :] = 255
    return labels


PICTURES = {
    "noise": noise(24, 32, 3),
    "many classes": noise(33, 17, 256),
    "one class": np.full((9, 5), 4, np.uint8),
    "one pixel": np.zeros((1, 1), np.uint8),
    "one row": noise(1, 40, 2),
    "one column": noise(40, 1, 2),
    "areas": blocks(360, 480),
    "a large picture": blocks(2000, 3000),
}


@pytest.mark.parametrize("name", PICTURES)
def test_each_region_is_that_of_pycocotools(name: str) -> None:
    labels = PICTURES[name]
    found = list(regions(labels))
    assert [region.label for region in found] == np.unique(labels).tolist()
    for region in found:
        binary = np.asfortranarray(labels == region.label, np.uint8)
        expected = coco.encode(binary)
        assert region.counts == expected["counts"].decode()
        assert region.area == coco.area(expected) == binary.sum()
        assert list(region.box) == coco.toBbox(expected).tolist()
        np.testing.assert_array_equal(coco.decode(expected), binary)


def test_the_text_of_counts_whose_differences_are_negative() -> None:
    counts = [6, 1, 40, 4, 5, 4, 5, 4, 21]
    expected = coco.frPyObjects({"size": [9, 10], "counts": counts}, 9, 10)
    assert text_of(np.array(counts)) == expected["counts"].decode() == "61X13mN000`0"
