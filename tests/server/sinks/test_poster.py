"""poster.jpg shows the first of the frames with the most classes, and exists from the first frame
on."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from pathlib import Path

import cv2
import numpy as np
import pytest
from pictures_segmented import INFO, SPEC, segmented, with_labels

from server.frame import Labels
from server.sinks.poster import Poster, Shot, poster_size, shot_of
from server.sinks.style import DEFAULT, Style


def stripes(*classes: int) -> Labels:
    """Equal columns of these classes."""
    columns = np.array(classes, np.uint8).repeat(-(-32 // len(classes)))[:32]
    return np.ascontiguousarray(np.broadcast_to(columns, (24, 32)))


def write(path: Path, *pictures: Labels, first: int = 0, style: Style = DEFAULT) -> list[Shot]:
    """Write the poster of frames with these labels; return what it showed after each."""
    poster, shots = Poster(path, SPEC, INFO, style), []
    for seq, labels in enumerate(pictures, first):
        poster.add(with_labels(seq, labels))
        shots.append(shot_of(path.read_bytes()))
    poster.finish()
    return shots


def test_it_is_there_after_the_first_frame_and_gets_better(tmp_path: Path) -> None:
    shots = write(
        tmp_path / "p", stripes(0), stripes(1), stripes(0, 1), stripes(1, 2), stripes(0, 1, 2)
    )
    assert shots == [Shot(0, 1), Shot(0, 1), Shot(2, 2), Shot(2, 2), Shot(4, 3)]
    assert [path.name for path in tmp_path.iterdir()] == ["p"]


def test_a_class_of_less_than_a_hundredth_is_not_seen(tmp_path: Path) -> None:
    few = stripes(0)
    few[0, :7] = 1
    enough = stripes(0)
    enough[0, :8] = 1
    assert write(tmp_path / "p", few, enough) == [Shot(0, 1), Shot(1, 2)]


def test_only_classes_that_are_shown_count(tmp_path: Path) -> None:
    shots = write(tmp_path / "p", stripes(0, 1), stripes(2), style=Style(("class2",)))
    assert shots == [Shot(0, 0), Shot(1, 1)]


def test_the_best_of_the_parts_wins_and_the_earlier_of_equals(tmp_path: Path) -> None:
    parts = [tmp_path / name for name in "abc"]
    write(parts[0], stripes(0))
    write(parts[1], stripes(0), stripes(0, 1), first=1)
    write(parts[2], stripes(1, 2), first=3)
    Poster.join(parts, tmp_path / "poster.jpg", SPEC, INFO, DEFAULT)
    assert shot_of((tmp_path / "poster.jpg").read_bytes()) == Shot(2, 2)


def read(path: Path) -> np.ndarray:
    picture = cv2.imread(str(path), cv2.IMREAD_COLOR_RGB)
    assert picture is not None
    return picture


@pytest.mark.parametrize("opacity", [0.0, 0.5, 1.0])
def test_it_is_the_overlay_of_its_frame(tmp_path: Path, opacity: float) -> None:
    write(tmp_path / "p", stripes(0, 1), style=Style(("class0",), opacity))
    left, right = read(tmp_path / "p")[:, 4:28], read(tmp_path / "p")[:, 36:60]
    colour = np.array(SPEC.classes[0].colour)
    assert np.abs(left.mean((0, 1)) - colour * opacity).max() < 8, "the picture is black"
    assert np.abs(right.mean((0, 1))).max() < 8, "class1 is not shown"


def test_a_frame_without_its_original_gives_one_of_the_same_size(tmp_path: Path) -> None:
    poster = Poster(tmp_path / "p", SPEC, INFO, DEFAULT)
    given = segmented(0)
    bare = replace(given.mask, frame=replace(given.mask.frame, original=None))
    poster.add(replace(given, mask=bare))
    assert read(tmp_path / "p").shape == (48, 64, 3)


@pytest.mark.parametrize(
    ("size", "aspect", "expected"),
    [
        ((48, 64), 1, (48, 64)),
        ((720, 1280), 1, (360, 640)),
        ((1920, 1080), 1, (640, 360)),
        ((576, 720), Fraction(64, 45), (360, 640)),
        ((1, 16_000), 1, (1, 640)),
    ],
)  # fmt: skip
def test_sizes(size: tuple[int, int], aspect: Fraction, expected: tuple[int, int]) -> None:
    info = replace(INFO, height=size[0], width=size[1], pixel_aspect=Fraction(aspect))
    assert poster_size(info) == expected
