"""How a label file says of which class a pixel is. Every coding gives class indices or VOID."""

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
"""The label of a pixel that counts for nothing, in every dataset here."""

STRAY_SHARE = 1e-3
"""A picture painted by hand may hold so many pixels of no class's colour; they are void."""


class DataError(ValueError):
    """A dataset that is absent or not what it should be; the message says which file."""


class Coding(Protocol):
    """What the pixels of a label file mean."""

    def read(self, path: Path) -> Labels:
        """(height, width) class indices or VOID. Raises DataError for any other pixel."""


@dataclass(frozen=True, eq=False)
class IndexCoding:
    """One-channel labels, palette or grey. ``meanings`` gives the class, or VOID, of each
    allowed value; ``allowed`` tells a reader which these are."""

    meanings: Mapping[int, int]
    allowed: str

    def read(self, path: Path) -> Labels:
        picture = decode(path)
        if picture.mode not in {"L", "P"}:
            raise DataError(f"{path} is not a one-channel PNG of class indices")
        stored = np.asarray(picture, dtype=np.uint8)
        present = np.flatnonzero(np.bincount(stored.ravel(), minlength=256))
        if wrong := [int(value) for value in present if value not in self.meanings]:
            raise DataError(f"{path} holds the label {wrong[-1]}; {self.allowed}")
        table = np.full(256, VOID, np.uint8)
        table[list(self.meanings)] = list(self.meanings.values())
        return table[stored]


@dataclass(frozen=True, eq=False)
class ColourCoding:
    """Labels painted in colours. ``meanings`` gives the class, or VOID, of each RGB colour."""

    meanings: Mapping[Colour, int]

    def read(self, path: Path) -> Labels:
        pixels = np.asarray(decode(path).convert("RGB"))
        labels, stray = self._look_up(pixels)
        if stray.mean() > STRAY_SHARE:
            raise DataError(
                f"{path} holds the colour {tuple(pixels[stray][0].tolist())}, which is that of "
                f"none of the {len(self.meanings)} known here"
            )
        return labels

    def _look_up(self, pixels: NDArray[np.uint8]) -> tuple[Labels, NDArray[np.bool_]]:
        """Labels (h, w), and where the colour is none of ours."""
        ours = sorted((int(_code(np.array(c))), index) for c, index in self.meanings.items())
        known = np.array([code for code, _ in ours])
        labels = np.array([index for _, index in ours], np.uint8)
        codes = _code(pixels)
        place = np.searchsorted(known, codes).clip(max=len(known) - 1)
        stray = known[place] != codes
        return np.where(stray, np.uint8(VOID), labels[place]), stray


def _code(colours: NDArray[Any]) -> NDArray[np.int64]:
    """(..., 3) RGB -> (...) one number for each colour."""
    red, green, blue = np.moveaxis(colours.astype(np.int64), -1, 0)
    codes: NDArray[np.int64] = red << 16 | green << 8 | blue
    return codes


def decode(path: Path) -> Image.Image:
    """A picture with its pixels. Raises DataError where it is none or broken."""
    try:
        with Image.open(path) as picture:
            picture.load()
            return picture
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error


def size_of(path: Path) -> tuple[int, int]:
    """A picture's (height, width) from its header. Raises DataError where it is none."""
    try:
        with Image.open(path) as picture:
            return picture.height, picture.width
    except OSError as error:
        raise DataError(f"{path} cannot be read as a picture: {error}") from error


def identity(classes: Iterable[int]) -> dict[int, int]:
    """Values that are class indices already."""
    return {index: index for index in classes}
