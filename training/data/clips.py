"""Clips: labelled pictures of one sequence at equal spacing, in order.

Memory is reset at the start of each clip.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import cv2
import numpy as np
from numpy.typing import NDArray

from training.data.labels import VOID, Coding, DataError, IndexCoding, Labels, identity, size_of

CAMVID_VOID = 11
CAMVID_INDICES = IndexCoding(
    identity(range(CAMVID_VOID)) | {CAMVID_VOID: VOID}, "the largest is 11 (void)"
)


@dataclass(frozen=True, slots=True)
class Sample:
    """One labelled picture of a sequence; ``number`` is its position in camera frames."""

    image: Path
    label: Path
    sequence: str
    number: int
    coding: Coding = CAMVID_INDICES

    @property
    def name(self) -> str:
        return f"{self.sequence}_{self.number:06d}"


@dataclass(frozen=True, slots=True)
class Clip:
    """Samples of one sequence, equally spaced, in order.

    ``dense``: close enough in time to measure video consistency.
    """

    samples: tuple[Sample, ...]
    dense: bool = False

    def __len__(self) -> int:
        return len(self.samples)


def split_clips(samples: Sequence[Sample], dense_step: int = 0) -> list[Clip]:
    """Group samples into clips.

    A clip ends when the sequence changes, or when the spacing exceeds 1.5 times the sequence's
    median. It is dense if its samples are at most ``dense_step`` camera frames apart.
    """
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
    return [Clip(tuple(clip), 1 <= _widest(clip) <= dense_step) for clip in clips]


def _usual_spacing(ordered: Sequence[Sample]) -> dict[str, float]:
    gaps: dict[str, list[int]] = {}
    for before, after in pairwise(ordered):
        if before.sequence == after.sequence:
            gaps.setdefault(after.sequence, []).append(after.number - before.number)
    return {sequence: float(np.median(of)) * 1.5 for sequence, of in gaps.items()}


def _widest(clip: Sequence[Sample]) -> int:
    """Return the largest distance between neighbours in camera frames; 0 if there are none."""
    return max((after.number - before.number for before, after in pairwise(clip)), default=0)


def read_image(sample: Sample) -> NDArray[np.uint8]:
    """Return the picture as RGB uint8 (h, w, 3). Raises DataError if it cannot be read."""
    image = cv2.imread(str(sample.image), cv2.IMREAD_COLOR)
    if image is None:
        raise DataError(f"{sample.image} cannot be read as a picture; replace it.")
    return np.ascontiguousarray(image[:, :, ::-1], dtype=np.uint8)


def read_label(sample: Sample) -> Labels:
    """Return the label as uint8 (h, w): class indices, or VOID.

    Raises DataError if it cannot be read or differs in size from its picture.
    """
    label = sample.coding.read(sample.label)
    height, width = size_of(sample.image)
    if label.shape != (height, width):
        raise DataError(
            f"{sample.label} is {label.shape[1]}x{label.shape[0]}, its picture {sample.image.name} "
            f"{width}x{height}; use pictures and labels of the same size."
        )
    return label


def class_shares(clips: Sequence[Clip], classes: int, most: int = 2000) -> NDArray[np.float64]:
    """Return each class's share, 0..1, of the labelled pixels, (classes,).

    At most ``most`` labels, evenly spread over the clips, are read.
    """
    samples = [sample for clip in clips for sample in clip.samples]
    counts = np.zeros(256, np.int64)
    for sample in samples[:: max(1, -(-len(samples) // most))]:
        counts += np.bincount(read_label(sample).ravel(), minlength=256)
    shares: NDArray[np.float64] = counts[:classes] / max(1, counts[:classes].sum())
    return shares


def picture_files(folder: Path) -> list[Path]:
    """Return a folder's JPEG and PNG files, sorted by name. Raises DataError if it is missing."""
    if not folder.is_dir():
        raise DataError(f"{folder} is missing; check --data.")
    return sorted(p for p in folder.iterdir() if p.suffix.lower() in {".jpg", ".jpeg", ".png"})
