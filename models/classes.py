"""What each dataset's labels mean, how they are drawn and what its licence allows."""

from __future__ import annotations

from dataclasses import dataclass

from models.spec import ClassLabel


@dataclass(frozen=True, slots=True)
class Dataset:
    """A dataset as a model trained on it must tell of it."""

    name: str
    licence: str
    classes: tuple[ClassLabel, ...]


CAMVID_CLASSES = (
    ClassLabel("Sky", (128, 128, 128)),
    ClassLabel("Building", (128, 0, 0)),
    ClassLabel("Pole", (192, 192, 128)),
    ClassLabel("Road", (128, 64, 128)),
    ClassLabel("Pavement", (60, 40, 222)),
    ClassLabel("Tree", (128, 128, 0)),
    ClassLabel("SignSymbol", (192, 128, 128)),
    ClassLabel("Fence", (64, 64, 128)),
    ClassLabel("Car", (64, 0, 128)),
    ClassLabel("Pedestrian", (64, 64, 0)),
    ClassLabel("Bicyclist", (0, 128, 192)),
)

CAMVID = Dataset("CamVid (Brostow et al. 2008, 2009)", "CC BY-NC 4.0", CAMVID_CLASSES)
DATASETS = {"camvid": CAMVID}
