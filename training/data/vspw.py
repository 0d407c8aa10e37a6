"""Read VSPW (Miao et al. 2021): ``data/<clip>/origin/*.jpg`` and ``data/<clip>/mask/*.png``.

``<split>.txt`` lists the clips of a split. Every frame is labelled, 15 per second, so each folder
is one dense clip. Masks hold 0 ("others") and 255 (void), which are ignored, and the classes' ids 1
to 124 (github.com/VSPW-dataset/VSPW-dataset-download).
"""

from __future__ import annotations

from pathlib import Path

from models.classes import VSPW_CLASSES
from training.data.clips import Clip, Sample, picture_files
from training.data.labels import VOID, Coding, DataError, IndexCoding

IDS = range(1, len(VSPW_CLASSES) + 1)
PERSON = 61
NOTHING = {0: VOID, 255: VOID}
ALLOWED = "those of VSPW are 0 to 124, and 255 (void)"

VSPW_IDS = IndexCoding(NOTHING | {n: n - 1 for n in IDS}, ALLOWED)
PERSON_IDS = IndexCoding(NOTHING | {n: int(n == PERSON) for n in IDS}, ALLOWED)


def vspw(root: Path, split: str) -> list[Clip]:
    """Return the clips of a split with all 124 classes.

    Raises DataError if a list, a folder or a mask is missing or a file's name is not a number.
    """
    return _clips(root, split, VSPW_IDS)


def vspw_person(root: Path, split: str) -> list[Clip]:
    """Return the clips of a split with two classes: person and the rest. Raises as :func:`vspw`."""
    return _clips(root, split, PERSON_IDS)


def _clips(root: Path, split: str, coding: Coding) -> list[Clip]:
    listed = root / f"{split}.txt"
    if not listed.is_file():
        raise DataError(f"{listed} is missing; it must list the clips of the split.")
    return [_clip(root / "data" / name, coding) for name in listed.read_text().split()]


def _clip(folder: Path, coding: Coding) -> Clip:
    images, masks = folder / "origin", folder / "mask"
    if not masks.is_dir():
        raise DataError(f"{masks} is missing; add the clip's masks or remove it from the list.")
    samples = [_sample(path, masks, folder.name, coding) for path in picture_files(images)]
    return Clip(tuple(sorted(samples, key=lambda s: s.number)), dense=True)


def _sample(image: Path, masks: Path, clip: str, coding: Coding) -> Sample:
    label = masks / f"{image.stem}.png"
    if not image.stem.isdecimal():
        raise DataError(f"{image} is not named by its number, such as 00000127.jpg; rename it.")
    if not label.is_file():
        raise DataError(f"{image} has no mask {label}; add it or remove the picture.")
    return Sample(image, label, clip, int(image.stem), coding)
