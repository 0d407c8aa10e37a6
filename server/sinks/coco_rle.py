"""COCO's run-length encoding of masks, for all classes of a picture in one pass.

A binary mask is read down its columns, left to right. Its counts are the lengths of runs of zeros
and ones in turn, beginning with zeros, without a trailing run of no zeros. As text, each count from
the fourth on is replaced by its difference from the one two before; a value is written as digits of
five bits, the lowest first, in ASCII from "0" on, with a sixth bit set if more follow.
pycocotools encodes one binary mask at a time, which takes a pass over the picture per class.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import cv2
import numpy as np
from numpy.typing import NDArray

from server.frame import Labels

Integers = NDArray[np.int64]

_DIGITS = 13
"""Digits of five bits that 64 bits need."""


@dataclass(frozen=True, slots=True)
class Region:
    """The pixels of one class: ``counts`` as text, ``area`` in pixels, ``box`` as the smallest
    (left, top, width, height) around them."""

    label: int
    counts: str
    area: int
    box: tuple[int, int, int, int]


def regions(labels: Labels) -> Iterator[Region]:
    """Yield the region of each label that occurs in (height, width) labels, lowest first."""
    height = labels.shape[0]
    flat = cv2.transpose(labels).ravel()
    starts = np.flatnonzero(np.concatenate(([True], flat[1:] != flat[:-1])))
    ends = np.append(starts[1:], flat.size)
    values = flat[starts]
    for label in np.unique(values):
        chosen = values == label
        yield _region(int(label), starts[chosen], ends[chosen], height, flat.size)


def _region(label: int, starts: Integers, ends: Integers, height: int, size: int) -> Region:
    area = int((ends - starts).sum())
    return Region(label, text_of(_counts(starts, ends, size)), area, _box(starts, ends, height))


def _counts(starts: Integers, ends: Integers, size: int) -> Integers:
    edges = np.column_stack((starts, ends)).ravel()
    if edges[-1] < size:
        edges = np.append(edges, size)
    return np.diff(edges, prepend=0)


def _box(starts: Integers, ends: Integers, height: int) -> tuple[int, int, int, int]:
    left, top = np.divmod(starts, height)
    right, bottom = np.divmod(ends - 1, height)
    if (left != right).any():  # a run continues in the next column
        top, bottom = np.array([0]), np.array([height - 1])
    x, y = int(left.min()), int(top.min())
    return x, y, int(right.max()) - x + 1, int(bottom.max()) - y + 1


def text_of(counts: Integers) -> str:
    """Return counts as COCO's compressed text."""
    values = counts.copy()
    values[3:] -= counts[1:-2]
    digits = np.zeros((len(values), _DIGITS), np.uint8)
    open_ = np.ones(len(values), bool)
    for place in range(_DIGITS):
        bits = values & 0x1F
        values >>= 5
        more = values != np.where(bits & 0x10, -1, 0)
        digits[open_, place] = (bits + 0x20 * more + ord("0"))[open_]
        open_ &= more
        if not open_.any():
            break
    text: bytes = digits[digits != 0].tobytes()
    return text.decode("ascii")
