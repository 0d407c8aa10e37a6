"""CamVid as clips: frames of one sequence at one spacing, in order.

A clip ends where the sequence changes or the spacing jumps; memory is reset there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

VOID = 255
"""The label of a pixel that counts for nothing, in every dataset here."""

CAMVID_VOID = 11
CAMVID_SPLITS = ("train", "val", "test")
FRAME_NAME = re.compile(r"(?P<sequence>.+)_f?(?P<number>\d+)$")


class DataError(ValueError):
    """A dataset that is absent or not what it should be; the message says which file."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture of a sequence."""

    image: Path
    label: Path
    sequence: str
    number: int


@dataclass(frozen=True, slots=True)
class Clip:
    """Samples of one sequence, equally spaced, in order."""

    samples: tuple[Sample, ...]

    def __len__(self) -> int:
        return len(self.samples)


def camvid(root: Path, split: str) -> list[Clip]:
    """CamVid in the SegNet layout: ``root/<split>`` images, ``root/<split>annot`` labels.

    Raises DataError where a folder or a label is missing or a name cannot be read.
    """
    if split not in CAMVID_SPLITS:
        raise DataError(f"CamVid has the splits {', '.join(CAMVID_SPLITS)}, not {split!r}")
    images, labels = root / split, root / f"{split}annot"
    for folder in (images, labels):
        if not folder.is_dir():
            raise DataError(f"{folder} is missing: CamVid in the SegNet layout is wanted here")
    paths = [p for p in images.iterdir() if p.suffix in {".jpg", ".png"}]
    return split_clips([_sample(path, labels) for path in paths])


def _sample(image: Path, labels: Path) -> Sample:
    name = FRAME_NAME.match(image.stem)
    label = labels / f"{image.stem}.png"
    if name is None:
        raise DataError(f"{image.name} is not <sequence>_<number>")
    if not label.is_file():
        raise DataError(f"{image.name} has no label {label}")
    return Sample(image, label, name["sequence"], int(name["number"]))


def split_clips(samples: Sequence[Sample]) -> list[Clip]:
    """Cut where the sequence changes or the spacing is more than the sequence's usual one."""
    ordered = sorted(samples, key=lambda s: (s.sequence, s.number))
    usual = _usual_spacing(ordered)
    clips: list[list[Sample]] = []
    for sample in ordered:
        last = clips[-1][-1] if clips else None
        if (
            last
            and last.sequence == sample.sequence
            and (sample.number - last.number <= usual[sample.sequence])
        ):
            clips[-1].append(sample)
        else:
            clips.append([sample])
    return [Clip(tuple(clip)) for clip in clips]


def _usual_spacing(ordered: Sequence[Sample]) -> dict[str, float]:
    gaps: dict[str, list[int]] = {}
    for before, after in pairwise(ordered):
        if before.sequence == after.sequence:
            gaps.setdefault(after.sequence, []).append(after.number - before.number)
    return {sequence: float(np.median(of)) * 1.5 for sequence, of in gaps.items()}


def read_image(sample: Sample) -> NDArray[np.uint8]:
    """(height, width, 3) RGB uint8."""
    image = cv2.imread(str(sample.image), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{sample.image} cannot be read as a picture")
    return np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)


def read_label(sample: Sample) -> NDArray[np.uint8]:
    """(height, width) uint8: class index, or VOID."""
    label = cv2.imread(str(sample.label), cv2.IMREAD_UNCHANGED)
    if label is None or label.ndim != 2:
        raise DataError(f"{sample.label} is not a one-channel PNG of class indices")
    if label.max() > CAMVID_VOID:
        raise DataError(f"{sample.label} holds the label {label.max()}; the largest is 11 (void)")
    return np.where(label == CAMVID_VOID, np.uint8(VOID), label.astype(np.uint8))


def class_shares(clips: Sequence[Clip], classes: int) -> NDArray[np.float64]:
    """Share of the labelled pixels that each class has, (classes,)."""
    counts = np.zeros(256, np.int64)
    for clip in clips:
        for sample in clip.samples:
            counts += np.bincount(read_label(sample).ravel(), minlength=256)
    shares: NDArray[np.float64] = counts[:classes] / max(1, counts[:classes].sum())
    return shares
