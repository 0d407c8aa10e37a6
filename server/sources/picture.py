"""Pictures that a client pushes: bytes in, RGB at the model's size out.

Every function is pure and may run in any thread. OpenCV releases the GIL while it decodes and
scales, so calls in a thread pool run side by side. How many threads OpenCV itself takes is the
entry point's to say (``cv2.setNumThreads``): one is right where calls already run in a pool.
"""

from __future__ import annotations

from hashlib import sha256

import cv2
import numpy as np

from server.errors import TooLarge, Undecodable
from server.frame import Pixels
from server.sources.jpeg_markers import END, PictureBytes, extent, next_restart
from server.sources.picture_header import PictureHeader, read_header

MAX_JPEG_SIDE = 65500
"""The longest side that a JPEG encoder takes; overlays are JPEGs."""

_FILL = bytes(byte for byte in sha256(b"fill").digest() * 8 if byte != 0xFF)
"""Compressed data that says nothing sensible, and holds no marker."""


def picture_size(data: PictureBytes) -> tuple[str, int, int]:
    """(encoding, height, width) from the header only, as stored, before EXIF orientation.

    ``encoding`` is "jpeg", "png" or "webp". Raises Undecodable.
    """
    header = read_header(data)
    return header.encoding, header.height, header.width


def decode_picture(data: PictureBytes, limit_pixels: int) -> Pixels:
    """The picture as it is displayed: EXIF orientation applied, RGB, 8 bits, no alpha.

    Raises TooLarge before anything is decoded where height x width passes ``limit_pixels``;
    Undecodable where the bytes are damaged or cut off.
    """
    header = read_header(data)
    check_pixels(header.height, header.width, limit_pixels)
    return _whole_jpeg(data, header) if header.encoding == "jpeg" else _decode(data, header)


def raw_picture(data: PictureBytes, height: int, width: int) -> Pixels:
    """Raw rgb24 rows, top first, without padding. A view of ``data``, no copy.

    Raises Undecodable where the bytes do not fit the size.
    """
    expected = height * width * 3
    if min(height, width) < 1 or len(data) != expected:
        raise Undecodable(
            f"An rgb24 picture of {width}x{height} is {expected} bytes, these are {len(data)}."
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def fit(picture: Pixels, height: int, width: int) -> Pixels:
    """The picture scaled to (height, width, 3), C-contiguous; itself where it already fits.

    Shrinking averages areas, so that thin things stay visible; enlarging is bilinear.
    """
    if picture.shape == (height, width, 3):
        return np.ascontiguousarray(picture)
    how = interpolation((picture.shape[0], picture.shape[1]), (height, width))
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), dtype=np.uint8)


def interpolation(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """How OpenCV is to scale (height, width) pixels to others."""
    shrinks = wanted[0] <= size[0] and wanted[1] <= size[1]
    return cv2.INTER_AREA if shrinks else cv2.INTER_LINEAR


def _whole_jpeg(data: PictureBytes, header: PictureHeader) -> Pixels:
    """Decode a JPEG up to its end marker; some cameras leave that out.

    Decoders fill what a JPEG lacks with grey, and say so on stderr only. So one without an end
    marker is decoded twice, the second time with more data behind: where that changes nothing,
    nothing is missing.
    """
    found = extent(data)
    if found.has_marker:
        return _decode(memoryview(data)[: found.end], header)
    if found.covered:
        begun = bytes(data).rstrip(b"\xff")
        picture = _decode(begun + END, header)
        filled = begun + _FILL + next_restart(begun) + _FILL + END
        if np.array_equal(picture, _decode(filled, header)):
            return picture
    raise Undecodable("The JPEG picture is cut off.")


def _decode(data: PictureBytes, header: PictureHeader) -> Pixels:
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), cv2.IMREAD_COLOR_RGB)
    except cv2.error as error:
        raise Undecodable(f"The {header.encoding} picture cannot be decoded.") from error
    if picture is None:
        raise Undecodable(f"The {header.encoding} picture is damaged or cut off.")
    return np.ascontiguousarray(picture, dtype=np.uint8)


def check_pixels(height: int, width: int, limit_pixels: int) -> None:
    """Raise TooLarge where a picture of this size passes the limit, or no mask of its size can be
    told or drawn."""
    if max(height, width) > MAX_JPEG_SIDE:
        raise TooLarge(
            f"A picture of {width}x{height} has a side of more than {MAX_JPEG_SIDE} pixels."
        )
    if height * width > limit_pixels:
        raise TooLarge(
            f"A picture of {width}x{height} is larger than the {limit_pixels} pixels served here."
        )
