"""Pictures that a client pushes: bytes in, RGB at the model's size out.

Every function is pure and may run in any thread. OpenCV releases the GIL while it decodes and
scales, so calls in a thread pool run in parallel. The service sets the number of OpenCV's own
threads (``cv2.setNumThreads``): one is right if calls already run in a pool.
"""

from __future__ import annotations

from dataclasses import dataclass
from hashlib import sha256

import cv2
import numpy as np

from server.errors import TooLarge, Undecodable
from server.frame import Pixels
from server.sources.pictures.jpeg_markers import END, PictureBytes, extent, has_exif, next_restart
from server.sources.pictures.picture_header import PictureHeader, read_header

MAX_JPEG_SIDE = 65500
"""The longest side that JPEG encoders accept; overlays are JPEGs."""

_HALF_RGB = cv2.IMREAD_REDUCED_GRAYSCALE_2 | cv2.IMREAD_COLOR_RGB
"""Half the size, in colour: the colour flag prevails; REDUCED_COLOR_2 would also select BGR."""

SLIGHTLY = 1.5
"""The factor by which a side may shrink without averaging areas."""

_FILL = bytes(byte for byte in sha256(b"fill").digest() * 8 if byte != 0xFF)
"""Meaningless compressed data that contains no marker."""


@dataclass(frozen=True, slots=True, eq=False)
class Picture:
    """RGB pixels, which may have half the size, and the picture's (height, width) as displayed."""

    pixels: Pixels
    size: tuple[int, int]


def decode_picture(data: PictureBytes, limit_pixels: int) -> Pixels:
    """Return the picture as it is displayed: EXIF orientation applied, RGB, 8 bits, no alpha.

    Raises TooLarge before anything is decoded if height x width exceeds ``limit_pixels``, and
    Undecodable if the bytes are damaged or cut off.
    """
    return decode_read_picture(data, read_header(data), limit_pixels).pixels


def decode_read_picture(
    data: PictureBytes,
    header: PictureHeader,
    limit_pixels: int,
    enough: tuple[int, int] | None = None,
) -> Picture:
    """Decode a picture whose header was read, as :func:`decode_picture` does.

    If the caller scales it to ``enough`` (height, width) anyway, a JPEG that is at least twice
    that size is decoded at half its own, which saves about a third of the time; the result differs
    by a few levels of 255.
    """
    check_pixels(header.height, header.width, limit_pixels)
    if header.encoding != "jpeg":
        return _as_picture(_decode(data, header))
    if enough is None or not _half_is_enough(data, header, enough):
        return _as_picture(_whole_jpeg(data, header))
    half = _whole_jpeg(data, header, _HALF_RGB)
    is_turned = half.shape[:2] != (header.height // 2, header.width // 2)
    size = (header.height, header.width)
    return Picture(half, size[::-1] if is_turned else size)


def raw_picture(data: PictureBytes, height: int, width: int) -> Pixels:
    """Return raw rgb24 rows, top first and without padding, as a view of ``data``.

    Raises Undecodable if the number of bytes does not match the size.
    """
    expected = height * width * 3
    if min(height, width) < 1 or len(data) != expected:
        raise Undecodable(
            f"An rgb24 picture of {width}x{height} has {expected} bytes, this one has {len(data)}."
        )
    return np.frombuffer(data, np.uint8).reshape(height, width, 3)


def fit(picture: Pixels, height: int, width: int) -> Pixels:
    """Return the picture scaled to (height, width, 3), C-contiguous; itself if it fits already.

    Shrinking averages areas, so that thin objects stay visible; enlarging, and shrinking slightly,
    are bilinear.
    """
    if picture.shape == (height, width, 3):
        return np.ascontiguousarray(picture)
    how = interpolation((picture.shape[0], picture.shape[1]), (height, width))
    return np.asarray(cv2.resize(picture, (width, height), interpolation=how), dtype=np.uint8)


def interpolation(size: tuple[int, int], wanted: tuple[int, int]) -> int:
    """Return OpenCV's interpolation for scaling from one (height, width) to another.

    If both sides shrink by less than SLIGHTLY, bilinear takes a quarter of the time, and every
    pixel still counts for at least three quarters of its share: the levels differ by 0.2 to 0.4 on
    average, and the masks by less than for a JPEG of quality 95.
    """
    shrinks = wanted[0] <= size[0] and wanted[1] <= size[1]
    slightly = size[0] < SLIGHTLY * wanted[0] and size[1] < SLIGHTLY * wanted[1]
    return cv2.INTER_AREA if shrinks and not slightly else cv2.INTER_LINEAR


def _as_picture(pixels: Pixels) -> Picture:
    return Picture(pixels, (pixels.shape[0], pixels.shape[1]))


def _half_is_enough(data: PictureBytes, header: PictureHeader, enough: tuple[int, int]) -> bool:
    if header.height % 2 or header.width % 2:  # half of it would be scaled slightly differently
        return False
    height, width = 2 * enough[0], 2 * enough[1]
    upright = header.height >= height and header.width >= width
    turned = header.width >= height and header.height >= width
    return upright and (turned or not has_exif(data, header.frame))


def _whole_jpeg(
    data: PictureBytes, header: PictureHeader, how: int = cv2.IMREAD_COLOR_RGB
) -> Pixels:
    """Decode a JPEG up to its end marker, which some cameras omit.

    Decoders fill the missing part of a JPEG with grey and report that only on stderr. So one
    without an end marker is decoded twice, the second time with more data appended: if that changes
    nothing, the picture is complete. Raises Undecodable if it is not.
    """
    found = extent(data, header.frame)
    if found.has_marker:
        return _decode(memoryview(data)[: found.end], header, how)
    if found.covered:
        begun = bytes(data).rstrip(b"\xff")
        picture = _decode(begun + END, header, how)
        filled = begun + _FILL + next_restart(begun) + _FILL + END
        if np.array_equal(picture, _decode(filled, header, how)):
            return picture
    raise Undecodable("The JPEG picture is cut off.")


def _decode(data: PictureBytes, header: PictureHeader, how: int = cv2.IMREAD_COLOR_RGB) -> Pixels:
    try:
        picture = cv2.imdecode(np.frombuffer(data, np.uint8), how)
    except cv2.error as error:
        raise Undecodable(f"The {header.encoding} picture cannot be decoded.") from error
    if picture is None:
        raise Undecodable(f"The {header.encoding} picture is damaged or cut off.")
    return np.ascontiguousarray(picture, dtype=np.uint8)


def check_pixels(height: int, width: int, limit_pixels: int) -> None:
    """Raise TooLarge if a picture of this size exceeds the limit, or is too large for a mask or an
    overlay."""
    if max(height, width) > MAX_JPEG_SIDE:
        raise TooLarge(
            f"A picture of {width}x{height} has a side of more than {MAX_JPEG_SIDE} pixels: send "
            "it smaller."
        )
    if height * width > limit_pixels:
        raise TooLarge(
            f"A picture of {width}x{height} is larger than the limit of {limit_pixels} pixels: "
            "send it smaller."
        )
