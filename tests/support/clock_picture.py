"""Pictures that show when they were taken: 64 squares, black or white, in the upper left quarter.

They hold the picture's number (24 bits), the wall clock in ms (32 bits, so it wraps after 49 days)
and a checksum (8 bits). They survive codecs and scalers as long as a square keeps some pixels. Only
the standard library is used here: the system's Python paints with it too.
"""

from __future__ import annotations

import time
import zlib
from dataclasses import dataclass
from typing import Any

SIDE = 8
"""Squares in a row, and rows."""

BLACK, WHITE, GREY, LIGHT = 16, 235, 110, 140

WRAP = 2**32


@dataclass(frozen=True, slots=True)
class Taken:
    """The content of a picture: its number, and time.time() when it was painted."""

    number: int
    wall: float


def paint(number: int, wall: float, width: int, height: int) -> bytes:
    """Return a picture in I420, of even width and height; a light bar moves through its lower
    half by a 64th of the width per picture."""
    bits = _bits(number, wall)
    rows = bytearray()
    for row in range(SIDE):
        squares = (
            bytes([WHITE if bits[row * SIDE + column] else BLACK]) * _long(column, width)
            for column in range(SIDE)
        )
        rows += (b"".join(squares) + bytes([GREY]) * (width - width // 2)) * _long(row, height)
    left = number * width // 64 % width
    bar = min(width // 8, width - left)
    lower = bytes([GREY]) * left + bytes([LIGHT]) * bar + bytes([GREY]) * (width - left - bar)
    chroma = bytes([128]) * (width // 2 * (height // 2) * 2)
    return bytes(rows) + lower * (height - height // 2) + chroma


def read(picture: Any, now: float | None = None) -> Taken | None:
    """Return the content of a picture (height, width, 3) of any size; None if it is not intact.

    ``now`` is a wall clock within 24 days of the picture's, by default that of this machine.
    """
    height, width = picture.shape[:2]
    value = 0
    for row in range(SIDE):
        for column in range(SIDE):
            y = int((row + 0.5) * height / 2 / SIDE)
            x = int((column + 0.5) * width / 2 / SIDE)
            value = value << 1 | (int(picture[y][x][1]) > GREY)
    told, checksum = divmod(value, 256)
    if checksum != _checksum(told):
        return None
    number, clock = divmod(told, WRAP)
    near = int((time.time() if now is None else now) * 1000)
    behind = (near - clock + WRAP // 2) % WRAP - WRAP // 2
    return Taken(number, (near - behind) / 1000)


def _bits(number: int, wall: float) -> list[int]:
    told = number % 2**24 * WRAP + int(wall * 1000) % WRAP
    value = told * 256 + _checksum(told)
    return [value >> place & 1 for place in reversed(range(SIDE * SIDE))]


def _long(index: int, side: int) -> int:
    """How many pixels of a side a square takes, so that eight fill half of it."""
    return (index + 1) * (side // 2) // SIDE - index * (side // 2) // SIDE


def _checksum(told: int) -> int:
    return zlib.crc32(told.to_bytes(7, "big")) & 255
