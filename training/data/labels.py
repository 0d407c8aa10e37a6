"""Read label files. Every coding maps pixels to class indices or VOID."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

Labels = NDArray[np.uint8]
Colour = tuple[int, int, int]

VOID = 255
"""The label of a pixel that is ignored, in every dataset."""

STRAY_SHARE = 1e-3
"""The share of a painted label's pixels that may have the colour of no class; they are void."""


class DataError(ValueError):
    """The dataset is missing or wrong; the message names the file."""


class Coding(Protocol):
    """The meaning of the pixels of a label file."""

    def read(self, path: Path) -> Labels:
        """Return class indices or VOID, uint8 (h, w).

        Raises DataError if the file cannot be read or has a pixel without a meaning.
        """


@dataclass(frozen=True, eq=False)
class IndexCoding:
    """One-channel labels, palette or grey.

    ``meanings`` gives the class, or VOID, of each allowed value; ``allowed`` describes these values
    in error messages.
    """

    meanings: Mapping[int, int]
    allowed: str

    def read(self, path: Path) -> Labels:
        picture = decode(path)
        if picture.mode not in {"L", "P"}:
            raise DataError(f"{path} must be a one-channel PNG of class indices.")
        stored = np.asarray(picture, dtype=np.uint8)
        present = np.flatnonzero(np.bincount(stored.ravel(), minlength=256))
        if wrong := [int(value) for value in present if value not in self.meanings]:
            raise DataError(f"{path} holds the label {wrong[-1]}; {self.allowed}.")
        table = np.full(256, VOID, np.uint8)
        table[list(self.meanings)] = list(self.meanings.values())
        return table[stored]


@dataclass(frozen=True, eq=False)
class ColourCoding:
    """Labels painted in colours; ``meanings`` gives the class, or VOID, of each RGB colour."""

    meanings: Mapping[Colour, int]

    def read(self, path: Path) -> Labels:
        pixels = np.asarray(decode(path).convert("RGB"))
        labels, stray = self._look_up(pixels)
        if stray.mean() > STRAY_SHARE:
            raise DataError(
                f"{path} holds the colour {tuple(pixels[stray][0].tolist())}, which is none of the "
                f"{len(self.meanings)} known colours; correct the label."
            )
        return labels

    def _look_up(self, pixels: NDArray[np.uint8]) -> tuple[Labels, NDArray[np.bool_]]:
        """Return labels (h, w), and a mask (h, w) of the pixels with an unknown colour."""
        coded = sorted((int(_code(np.array(c))), index) for c, index in self.meanings.items())
        known = np.array([code for code, _ in coded])
        labels = np.array([index for _, index in coded], np.uint8)
        codes = _code(pixels)
        place = np.searchsorted(known, codes).clip(max=len(known) - 1)
        stray = known[place] != codes
        return np.where(stray, np.uint8(VOID), labels[place]), stray


def _code(colours: NDArray[Any]) -> NDArray[np.int64]:
    """Return a unique number for each RGB colour: (..., 3) -> (...)."""
    red, green, blue = np.moveaxis(colours.astype(np.int64), -1, 0)
    codes: NDArray[np.int64] = red << 16 | green << 8 | blue
    return codes


def decode(path: Path) -> Image.Image:
    """Read a whole picture. Raises DataError if it cannot be decoded."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture; replace it ({error}).") from error


def size_of(path: Path) -> tuple[int, int]:
    """Return a picture's (height, width) from its header. Raises DataError if it has none."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture; replace it ({error}).") from error


def identity(classes: Iterable[int]) -> dict[int, int]:
    """Return the meanings of values that already are class indices."""
    return {index: index for index in classes}
