"""Label files: palette, grey and painted ones, and those that are none."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from training.data.labels import VOID, ColourCoding, DataError, IndexCoding, decode, size_of

INDICES = IndexCoding({0: VOID, 1: 0, 2: 1}, "they go from 0 to 2")
COLOURS = ColourCoding({(0, 0, 0): VOID, (255, 0, 0): 0, (0, 0, 255): 1})


def write(path: Path, pixels: list[list[int]], mode: str = "L") -> Path:
    picture = Image.fromarray(np.array(pixels, np.uint8))
    if mode == "P":
        picture = picture.convert("P")
        picture.putpalette([9, 9, 9] * 256)
    picture.save(path)
    return path


@pytest.mark.parametrize("mode", ["L", "P"])
def test_indices_are_read_whatever_colours_they_are_shown_in(tmp_path: Path, mode: str) -> None:
    path = write(tmp_path / "label.png", [[0, 1], [2, 2]], mode)
    assert INDICES.read(path).tolist() == [[VOID, 0], [1, 1]]
    assert size_of(path) == (2, 2)


def test_a_label_out_of_range_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "label.png", [[0, 7]])
    with pytest.raises(DataError, match=r"label\.png holds the label 7; they go from 0 to 2"):
        INDICES.read(path)


def test_a_painted_file_holds_no_indices(tmp_path: Path) -> None:
    Image.new("RGB", (2, 2)).save(tmp_path / "label.png")
    with pytest.raises(DataError, match="one-channel"):
        INDICES.read(tmp_path / "label.png")


def test_colours_are_looked_up_and_a_few_stray_ones_are_void(tmp_path: Path) -> None:
    pixels = np.zeros((50, 60, 3), np.uint8)
    pixels[:, :30], pixels[:, 40:] = (255, 0, 0), (0, 0, 255)
    pixels[3, 3] = (254, 1, 0)
    Image.fromarray(pixels).save(tmp_path / "label.png")
    labels = COLOURS.read(tmp_path / "label.png")
    assert labels[0, [0, 35, 59]].tolist() == [0, VOID, 1]
    assert labels[3, 3] == VOID and (labels == 0).sum() == 50 * 30 - 1


def test_many_stray_colours_are_another_dataset(tmp_path: Path) -> None:
    Image.new("RGB", (8, 8), (1, 2, 3)).save(tmp_path / "label.png")
    with pytest.raises(DataError, match=r"colour \(1, 2, 3\)"):
        COLOURS.read(tmp_path / "label.png")


def test_a_broken_file_is_named(tmp_path: Path) -> None:
    path = write(tmp_path / "label.png", [[n % 251 for n in range(4096)]] * 64)
    path.write_bytes(path.read_bytes()[:200])
    with pytest.raises(DataError, match=r"label\.png cannot be read"):
        decode(path)
    with pytest.raises(DataError, match=r"absent\.png cannot be read"):
        size_of(tmp_path / "absent.png")
