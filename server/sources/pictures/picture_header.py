"""The size of a JPEG, PNG or WebP picture, read from its header without decoding it.

A limit is useful only if it is checked before a decoder allocates. Layouts: PNG (IHDR), RFC 9649
(VP8, VP8L, VP8X); for JPEG see ``jpeg_markers``.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

from protocol import foreign_kind
from server.errors import Undecodable
from server.sources.pictures.jpeg_markers import PictureBytes, frame_header, frame_size


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """``height`` and ``width`` are those stored, before any EXIF orientation is applied; ``frame``
    is where the frame header of a JPEG begins."""

    encoding: str
    height: int
    width: int
    frame: int = 0


def read_header(data: PictureBytes) -> PictureHeader:
    """Return the encoding ("jpeg", "png" or "webp") and size. Raises Undecodable if the data has no
    such header. The time does not depend on the length of ``data``."""
    try:
        header = _read(data)
    except (struct.error, IndexError) as error:
        raise Undecodable("The picture is cut off: it ends within its header.") from error
    if header.height < 1 or header.width < 1:
        raise Undecodable(f"The {header.encoding} picture's header gives no size.")
    return header


def _read(data: PictureBytes) -> PictureHeader:
    start = bytes(data[:12])
    if start.startswith(b"\xff\xd8\xff"):
        frame = frame_header(data)
        return PictureHeader("jpeg", *frame_size(data, frame), frame)
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PictureHeader("png", *_png_size(data))
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return PictureHeader("webp", *_webp_size(data))
    raise Undecodable(_refusal(data))


def _refusal(data: PictureBytes) -> str:
    known = foreign_kind(data)
    if known:
        return f"The bytes are {known}; pictures must be JPEG, PNG or WebP."
    return "The bytes are not a JPEG, PNG or WebP picture."


def _png_size(data: PictureBytes) -> tuple[int, int]:
    if bytes(data[12:16]) != b"IHDR":
        raise Undecodable("The PNG picture does not begin with its header.")
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _webp_size(data: PictureBytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise Undecodable("The WebP picture is cut off: it is shorter than its header says.")
    kind = bytes(data[12:16])
    if kind == b"VP8 ":
        width, height = struct.unpack_from("<HH", data, 26)
        return height & 0x3FFF, width & 0x3FFF
    if kind == b"VP8L":
        bits = struct.unpack_from("<I", data, 21)[0]
        return (bits >> 14 & 0x3FFF) + 1, (bits & 0x3FFF) + 1
    if kind == b"VP8X":
        return _u24(data, 27) + 1, _u24(data, 24) + 1
    raise Undecodable("The WebP picture does not begin with its header.")


def _u24(data: PictureBytes, place: int) -> int:
    low, high = struct.unpack_from("<HB", data, place)
    return int(low) | int(high) << 16
