"""Draw a frame in four panels: image, truth, mask and the changes that memory made.

A file that contains the dataset's image is under the dataset's licence; without it, the file shows
labels only.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from models.spec import ClassLabel
from training.data.labels import Labels
from training.scoring.changes import Change, Extremes
from training.scoring.passes import Mode
from training.scoring.steppers import Pixels

GREEN, RED, GREY = (0, 200, 0), (230, 0, 0), (110, 110, 110)
"""The colours of pixels that memory made right, made wrong, or left wrong with another class."""

GAP = 4
CAPTION = 24


def draw(change: Change, classes: Sequence[ClassLabel], with_image: bool) -> Pixels:
    """Return a picture, uint8 RGB, of four panels.

    They are the image, the truth, the mask with memory and the changes; without the image: the
    truth, the mask without memory, the mask with memory and the changes.
    """
    shot = change.shot
    remembering, without = (shot.answers[mode].mask for mode in (Mode.WITH, Mode.OFF))
    truth = ("truth", coloured(shot.truth, classes))
    mask = ("with memory", coloured(remembering, classes))
    changed = ("green: right by memory, red: wrong by it", changes(change))
    first = ("image", shot.image) if with_image else truth
    second = truth if with_image else ("memory off", coloured(without, classes))
    return in_fours([first, second, mask, changed])


def coloured(labels: Labels, classes: Sequence[ClassLabel]) -> Pixels:
    """Paint labels (h, w) in their classes' colours, (h, w, 3); void is black."""
    palette = np.zeros((256, 3), np.uint8)
    palette[: len(classes)] = [label.colour for label in classes]
    return palette[labels]


def changes(change: Change) -> Pixels:
    """Paint the pixels that memory changed, (h, w, 3); the others are black."""
    drawn = np.zeros((*change.shot.truth.shape, 3), np.uint8)
    drawn[change.still_wrong] = GREY
    drawn[change.became_right] = GREEN
    drawn[change.became_wrong] = RED
    return drawn


def in_fours(panels: Sequence[tuple[str, Pixels]]) -> Pixels:
    """Arrange four captioned panels of one size two by two on white."""
    a, b, c, d = (_captioned(text, panel) for text, panel in panels)
    return _joined(_joined(a, b, axis=1), _joined(c, d, axis=1), axis=0)


def _captioned(text: str, panel: Pixels) -> Pixels:
    strip = np.full((CAPTION, panel.shape[1], 3), 255, np.uint8)
    cv2.putText(
        strip, text, (4, CAPTION - 8), cv2.FONT_HERSHEY_SIMPLEX, 0.45, (0, 0, 0), 1, cv2.LINE_AA
    )
    return np.concatenate([strip, panel])


def _joined(a: Pixels, b: Pixels, axis: int) -> NDArray[np.uint8]:
    shape = list(a.shape)
    shape[axis] = GAP
    return np.concatenate([a, np.full(shape, 255, np.uint8), b], axis=axis)


def save(
    extremes: Extremes, folder: Path, classes: Sequence[ClassLabel], with_image: bool
) -> list[str]:
    """Write a PNG for each change, helped or hurt, and return a line about each. Raises OSError."""
    folder.mkdir(parents=True, exist_ok=True)
    lines = []
    for kind, chosen in (("helped", extremes.helped), ("hurt", extremes.hurt)):
        for place, change in enumerate(chosen, start=1):
            path = folder / f"{kind}_{place}_{change.shot.sample.name}.png"
            _write(path, draw(change, classes, with_image))
            lines.append(
                f"{path.name}: memory {kind}, {change.right:.2%} of the pixels became right, "
                f"{change.wrong:.2%} wrong"
            )
    return lines


def _write(path: Path, picture: Pixels) -> None:
    _, encoded = cv2.imencode(".png", np.ascontiguousarray(picture[:, :, ::-1]))
    path.write_bytes(encoded.tobytes())
