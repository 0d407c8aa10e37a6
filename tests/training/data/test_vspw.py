"""VSPW: its lists, its ids, and the sample in its layout."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.classes import VSPW_CLASSES
from training.data.camvid import camvid
from training.data.clips import read_image, read_label
from training.data.labels import VOID, DataError
from training.data.vspw import PERSON, vspw, vspw_person

IDS = [[0, 1, PERSON, 124, 255]]


@pytest.fixture
def root(tmp_path: Path) -> Path:
    """Two clips; the second's frames are numbered out of the order of their names."""
    for clip, frames in (("1_first", ("00000010", "00000012")), ("2_second", ("9", "10", "11"))):
        for folder in ("origin", "mask"):
            (tmp_path / "data" / clip / folder).mkdir(parents=True)
        for frame in frames:
            Image.new("RGB", (5, 1)).save(tmp_path / "data" / clip / "origin" / f"{frame}.jpg")
            mask = Image.fromarray(np.array(IDS, np.uint8))
            mask.save(tmp_path / "data" / clip / "mask" / f"{frame}.png")
    (tmp_path / "train.txt").write_text("1_first\n2_second\n")
    (tmp_path / "val.txt").write_text("2_second")
    return tmp_path


def test_a_folder_is_a_dense_clip_in_the_order_of_its_numbers(root: Path) -> None:
    first, second = vspw(root, "train")
    assert [s.number for s in first.samples] == [10, 12] and first.dense
    assert [s.number for s in second.samples] == [9, 10, 11]
    assert len(vspw(root, "val")) == 1


def test_ids_shift_by_one_and_person_stands_against_the_rest(root: Path) -> None:
    clip, person = vspw(root, "val")[0], vspw_person(root, "val")[0]
    assert read_label(clip.samples[0]).tolist() == [[VOID, 0, PERSON - 1, 123, VOID]]
    assert VSPW_CLASSES[PERSON - 1].name == "person"
    assert read_label(person.samples[0]).tolist() == [[VOID, 0, 1, 0, VOID]]


def test_ids_out_of_range_are_named(root: Path) -> None:
    (clip,) = vspw(root, "val")
    Image.new("L", (5, 1), 125).save(clip.samples[0].label)
    with pytest.raises(DataError, match=r"9\.png holds the label 125; .* 0 to 124, and 255"):
        read_label(clip.samples[0])


def test_what_is_missing_is_named(root: Path) -> None:
    with pytest.raises(DataError, match=r"test\.txt is missing"):
        vspw(root, "test")
    (root / "test.txt").write_text("3_third\n")
    with pytest.raises(DataError, match="mask is missing"):
        vspw(root, "test")
    (root / "data" / "2_second" / "mask" / "10.png").unlink()
    with pytest.raises(DataError, match=r"10\.jpg has no mask"):
        vspw(root, "val")
    Image.new("RGB", (5, 1)).save(root / "data" / "1_first" / "origin" / "cover.jpg")
    with pytest.raises(DataError, match="not named by its number"):
        vspw(root, "train")


@pytest.mark.data
def test_the_sample_is_camvids_val_under_other_labels(data: Path) -> None:
    (clip,) = vspw(data / "vspw_sample", "val")
    (dense,) = camvid(data / "camvid", "val")
    assert len(clip) == 16 and clip.dense
    for ours, theirs in zip(clip.samples, dense.samples, strict=False):
        assert ours.number == theirs.number
        assert np.array_equal(read_label(ours), read_label(theirs))
        assert read_image(ours).shape == read_image(theirs).shape == (360, 480, 3)
