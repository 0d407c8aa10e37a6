"""masks.json is read by pycocotools and gives back every mask."""

from __future__ import annotations

import json
from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from pictures_segmented import INFO, SPEC, labels, segmented
from pycocotools.coco import COCO

from server.sinks.mask_listing import MaskListing
from server.sinks.overlay import resize_labels
from server.sinks.style import DEFAULT, Style

pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")
"""pycocotools' own."""


def write(path: Path, *pieces: range, style: Style = DEFAULT) -> None:
    """Write the listing of these frames, in a part for each range."""
    parts = [path.with_name(f"{number}.part") for number in range(len(pieces))]
    for part, frames in zip(parts, pieces, strict=True):
        listing = MaskListing(part, SPEC, INFO, style)
        for index in frames:
            listing.add(segmented(index))
        listing.finish()
    MaskListing.join(parts, path, SPEC, INFO, style)


def test_pycocotools_reads_every_mask(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    write(tmp_path / "masks.json", range(4))
    data = COCO(str(tmp_path / "masks.json"))
    capsys.readouterr()
    assert [data.cats[index]["name"] for index in data.getCatIds()] == [
        "class0",
        "class1",
        "class2",
    ]
    assert data.getImgIds() == [0, 1, 2, 3]
    for index in range(4):
        read = np.full((INFO.height, INFO.width), 255, np.uint8)
        for one in data.loadAnns(data.getAnnIds(imgIds=[index])):
            binary = data.annToMask(one)
            assert binary.sum() == one["area"]
            read[binary == 1] = one["category_id"]
        np.testing.assert_array_equal(read, resize_labels(labels(index), INFO.height, INFO.width))


def test_images_have_exact_times_and_names(tmp_path: Path) -> None:
    write(tmp_path / "masks.json", range(2))
    image = json.loads((tmp_path / "masks.json").read_text())["images"][1]
    assert image == {
        "id": 1, "file_name": "000001.png", "width": INFO.width, "height": INFO.height,
        "pts": str(Fraction(1001, 30_000)), "time": 0.033367,
    }  # fmt: skip


def test_chosen_classes_only(tmp_path: Path) -> None:
    write(tmp_path / "masks.json", range(3), style=Style(("class1",)))
    document = json.loads((tmp_path / "masks.json").read_text())
    assert [one["name"] for one in document["categories"]] == ["class1"]
    assert {one["category_id"] for one in document["annotations"]} == {1}
    assert len(document["images"]) == 3, "a frame without a chosen class is listed, too"


def test_the_ids_of_annotations_are_unique(tmp_path: Path) -> None:
    write(tmp_path / "masks.json", range(5))
    document = json.loads((tmp_path / "masks.json").read_text())
    ids = [one["id"] for one in document["annotations"]]
    assert len(set(ids)) == len(ids) == 15 and min(ids) > 0


def test_parts_join_to_the_document_of_one_pass(tmp_path: Path) -> None:
    write(tmp_path / "joined.json", range(2), range(2, 3), range(3, 6))
    write(tmp_path / "masks.json", range(6))
    assert (tmp_path / "joined.json").read_bytes() == (tmp_path / "masks.json").read_bytes()
