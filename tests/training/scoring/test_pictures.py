"""Four panels per frame."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from models.spec import ClassLabel
from training.data.clips import Sample
from training.data.labels import VOID
from training.scoring.changes import Change, Extremes, compare
from training.scoring.passes import Answer, Mode, Shot
from training.scoring.pictures import CAPTION, GAP, GREEN, GREY, RED, coloured, draw, save

CLASSES = (ClassLabel("a", (1, 2, 3)), ClassLabel("b", (4, 5, 6)), ClassLabel("c", (7, 8, 9)))
HEIGHT, WIDTH = 20, 40
IMAGE_COLOUR = (200, 100, 50)


@pytest.fixture
def change() -> Change:
    """By columns: right then and now, became right, became wrong, wrong otherwise, void."""
    truth, remembering, without = (
        np.tile(np.repeat(np.array(row, np.uint8), 8), (HEIGHT, 1))
        for row in ([0, 0, 0, 0, VOID], [0, 0, 1, 2, 1], [0, 1, 0, 1, 0])
    )
    answers = {Mode.WITH: Answer(remembering, {}), Mode.OFF: Answer(without, {})}
    image = np.full((HEIGHT, WIDTH, 3), IMAGE_COLOUR, np.uint8)
    sample = Sample(Path(), Path(), "clip", 7)
    return compare(Shot(sample, 0, False, image, truth, answers))


def panels(picture: np.ndarray) -> list[np.ndarray]:
    """The four panels without their captions."""
    assert picture.shape == (2 * (HEIGHT + CAPTION) + GAP, 2 * WIDTH + GAP, 3)
    lower = HEIGHT + CAPTION + GAP
    corners = [(top, left) for top in (0, lower) for left in (0, WIDTH + GAP)]
    return [
        picture[top + CAPTION : top + CAPTION + HEIGHT, left : left + WIDTH]
        for top, left in corners
    ]


def test_panels_show_image_truth_mask_and_change(change: Change) -> None:
    image, truth, mask, changed = panels(draw(change, CLASSES, with_image=True))
    assert (image == IMAGE_COLOUR).all()
    assert np.array_equal(truth, coloured(change.shot.truth, CLASSES))
    assert np.array_equal(mask, coloured(change.shot.answers[Mode.WITH].mask, CLASSES))
    black = (0, 0, 0)
    assert [tuple(changed[5, 4 + 8 * n]) for n in range(5)] == [black, GREEN, RED, GREY, black]
    assert (truth[:, -1] == 0).all() and tuple(truth[0, 0]) == CLASSES[0].colour


def test_without_the_image_nothing_of_it_is_shown(change: Change) -> None:
    picture = draw(change, CLASSES, with_image=False)
    truth, off, _, _ = panels(picture)
    assert np.array_equal(truth, coloured(change.shot.truth, CLASSES))
    assert np.array_equal(off, coloured(change.shot.answers[Mode.OFF].mask, CLASSES))
    assert not (picture == IMAGE_COLOUR).all(axis=2).any()


def test_files_and_lines_say_what_memory_did(change: Change, tmp_path: Path) -> None:
    lines = save(Extremes((change,), (change,)), tmp_path / "new", CLASSES, with_image=True)
    assert lines[0] == (
        "helped_1_clip_000007.png: memory helped, 25.00% of the pixels became right, 25.00% wrong"
    )
    stored = np.asarray(Image.open(tmp_path / "new" / "hurt_1_clip_000007.png"))
    assert np.array_equal(stored, draw(change, CLASSES, with_image=True))
