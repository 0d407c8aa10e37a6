"""The table of datasets."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.classes import DATASETS, VSPW_CLASSES, spread_colour
from training.data.datasets import FINDERS, DataError, open_dataset, read_label


def write(path: Path, pixels: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def roots(tmp_path: Path) -> dict[str, Path]:
    """One picture for each dataset, in its own layout; every pixel is of its last class."""
    picture = np.zeros((4, 6, 3), np.uint8)
    roots = {name: tmp_path / name.removesuffix("-person") for name in FINDERS}
    write(roots["camvid"] / "val" / "a_0001.png", picture)
    write(roots["camvid"] / "valannot" / "a_0001.png", np.full((4, 6), 10, np.uint8))
    write(roots["camvid32"] / "701_StillsRaw_full" / "0016E5_07959.png", picture)
    bicyclist = np.full((4, 6, 3), (0, 128, 192), np.uint8)
    write(roots["camvid32"] / "LabeledApproved_full" / "0016E5_07959_L.png", bicyclist)
    write(roots["vspw"] / "data" / "a" / "origin" / "1.jpg", picture)
    mask = np.full((4, 6), 124, np.uint8)
    mask[:, :3] = 61
    write(roots["vspw"] / "data" / "a" / "mask" / "1.png", mask)
    (roots["vspw"] / "val.txt").write_text("a\n")
    return roots


@pytest.mark.parametrize("name", FINDERS)
def test_each_gives_clips_of_labels_within_its_classes(roots: dict[str, Path], name: str) -> None:
    dataset = open_dataset(name, roots[name])
    ((sample,),) = (clip.samples for clip in dataset.clips("val"))
    assert read_label(sample).max() == len(dataset.classes) - 1
    with pytest.raises(DataError, match=f"{name} has the splits train, val, test"):
        dataset.clips("validation")


def test_both_tables_name_the_same() -> None:
    assert FINDERS.keys() == DATASETS.keys()
    for dataset in DATASETS.values():
        assert dataset.licence and len({c.name for c in dataset.classes}) == len(dataset.classes)


def test_every_class_of_vspw_has_a_colour_of_its_own() -> None:
    assert len(VSPW_CLASSES) == 124
    assert len({label.colour for label in VSPW_CLASSES}) == 124
    # The first rows of PASCAL VOC's colour map.
    assert [spread_colour(n) for n in range(4)] == [
        (0, 0, 0),
        (128, 0, 0),
        (0, 128, 0),
        (128, 128, 0),
    ]


def test_wrong_names_and_empty_folders_are_reported(tmp_path: Path) -> None:
    with pytest.raises(DataError, match="camvid, camvid32, vspw, vspw-person"):
        open_dataset("cityscapes", tmp_path)
    with pytest.raises(DataError, match=r"absent/test\.txt is missing"):
        open_dataset("vspw", tmp_path / "absent").clips("test")
    for folder in ("test", "testannot"):
        (tmp_path / folder).mkdir()
    with pytest.raises(DataError, match="no picture of test"):
        open_dataset("camvid", tmp_path).clips("test")
