"""How a stored picture is rotated to be displayed: a container's display matrix."""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from fractions import Fraction

import cv2
import numpy as np

from server.frame import Pixels

_TURNS = {90: cv2.ROTATE_90_CLOCKWISE, 180: cv2.ROTATE_180, 270: cv2.ROTATE_90_COUNTERCLOCKWISE}


@dataclass(frozen=True, slots=True)
class Orientation:
    """Mirror left to right first, then rotate clockwise by 0, 90, 180 or 270 degrees."""

    clockwise: int = 0
    mirrored: bool = False

    @classmethod
    def from_matrix(cls, matrix: bytes) -> Orientation:
        """Read a display matrix: nine int32 in native byte order, (a b u / c d v / x y w).

        It maps (p, q), y downwards, to (a p + c q, b p + d q) (ISO 14496-12, 6.2.2). Other angles
        are rounded to the nearest multiple of 90 degrees.
        """
        a, b, _, c, d = struct.unpack_from("=5i", matrix)
        mirrored = a * d - b * c < 0
        if mirrored:
            a, b = -a, -b
        quarter_turns = round(math.degrees(math.atan2(b, a)) / 90) % 4
        return cls(quarter_turns * 90, mirrored)

    def size(self, height: int, width: int) -> tuple[int, int]:
        """Return the displayed (height, width) of a picture stored as (height, width)."""
        return (width, height) if self.clockwise in (90, 270) else (height, width)

    def pixel_aspect(self, stored: Fraction) -> Fraction:
        """Return the displayed pixel aspect (width / height) from the stored one."""
        return 1 / stored if self.clockwise in (90, 270) else stored

    def apply(self, picture: Pixels) -> Pixels:
        """Return the picture as displayed, C-contiguous; itself if it is upright and contiguous."""
        if self.mirrored:
            picture = np.asarray(cv2.flip(picture, 1), dtype=np.uint8)
        if self.clockwise:
            picture = np.asarray(cv2.rotate(picture, _TURNS[self.clockwise]), dtype=np.uint8)
        return np.ascontiguousarray(picture)


UPRIGHT = Orientation()
