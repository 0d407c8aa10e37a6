"""The size of a JPEG, PNG or WebP picture, read from its header and never by decoding it.

A limit is worth something only if it is checked before a decoder allocates. Layouts: JPEG
ITU T.81 B.2.2 (SOFn), PNG (IHDR), RFC 9649 (VP8, VP8L, VP8X).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass
from itertools import islice

from server.errors import Undecodable

PictureBytes = bytes | bytearray | memoryview

MAX_JPEG_SEGMENTS = 1000
"""Segments and fill bytes before the frame header; a picture of millions of empty ones must not
cost seconds."""

MAX_JPEG_SCANS = 100
"""Encoders make about ten. A scan of a few bytes costs a pass over the whole picture, and a decoder
cannot be stopped."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_START_OF_IMAGE = b"\xff\xd8"
_END_OF_IMAGE = re.compile(rb"\xff\xd9")
_START_OF_SCAN = re.compile(rb"\xff\xda")


@dataclass(frozen=True, slots=True)
class PictureHeader:
    """``height`` and ``width`` as stored, before any EXIF orientation is applied."""

    encoding: str
    height: int
    width: int


def read_header(data: PictureBytes) -> PictureHeader:
    """Encoding ("jpeg", "png", "webp") and size. Raises Undecodable where there is none. Takes
    the same short time however long ``data`` is."""
    try:
        header = _read(data)
    except (struct.error, IndexError) as error:
        raise Undecodable("The picture ends within its header.") from error
    if header.height < 1 or header.width < 1:
        raise Undecodable(f"The {header.encoding} picture's header gives no size.")
    return header


def check_whole(data: PictureBytes) -> None:
    """Raise Undecodable where a picture whose header can be read has no end, or endless scans.

    Decoders fill what a truncated JPEG lacks with grey, and say so on stderr only. The others
    are refused by their decoders.
    """
    if bytes(data[:2]) != _START_OF_IMAGE:
        return
    # A byte 0xFF of the compressed data is always followed by 0x00, so behind the frame header
    # this marker is the end's; before it there may be that of a thumbnail.
    frame = _jpeg_frame(data)
    if not _END_OF_IMAGE.search(data, frame):
        raise Undecodable("The JPEG picture is cut off: it has no end marker.")
    scans = _START_OF_SCAN.finditer(data, frame)
    if next(islice(scans, MAX_JPEG_SCANS, None), None):
        raise Undecodable(f"The JPEG picture has more than {MAX_JPEG_SCANS} scans.")


def _read(data: PictureBytes) -> PictureHeader:
    start = bytes(data[:12])
    if start.startswith(b"\xff\xd8\xff"):
        return PictureHeader("jpeg", *_jpeg_size(data))
    if start.startswith(b"\x89PNG\r\n\x1a\n"):
        return PictureHeader("png", *_png_size(data))
    if start[:4] == b"RIFF" and start[8:] == b"WEBP":
        return PictureHeader("webp", *_webp_size(data))
    raise Undecodable("The bytes are no JPEG, PNG or WebP picture.")


def _jpeg_size(data: PictureBytes) -> tuple[int, int]:
    place = _jpeg_frame(data)
    return _u16(data, place + 5), _u16(data, place + 7)


def _jpeg_frame(data: PictureBytes) -> int:
    """Where the frame header begins."""
    place = 2
    for _ in range(MAX_JPEG_SEGMENTS):
        fill, marker = data[place], data[place + 1]
        if marker == fill == 0xFF:
            place += 1
            continue
        # 0xFF 0x00 and reserved markers have no length: a decoder that passes over them goes on at
        # another place than we would, and may find another size there.
        if fill != 0xFF or marker in (0xD9, 0xDA) or (marker < 0xC0 and marker != 0x01):
            break
        if marker in _START_OF_FRAME:
            return place
        place += 2 if marker in _WITHOUT_LENGTH else 2 + _u16(data, place + 2)
    raise Undecodable("The JPEG picture has no frame header.")


def _png_size(data: PictureBytes) -> tuple[int, int]:
    if bytes(data[12:16]) != b"IHDR":
        raise Undecodable("The PNG picture does not begin with its header.")
    width, height = struct.unpack_from(">II", data, 16)
    return height, width


def _webp_size(data: PictureBytes) -> tuple[int, int]:
    if struct.unpack_from("<I", data, 4)[0] + 8 > len(data):
        raise Undecodable("The WebP picture is cut off: it is shorter than it says.")
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


def _u16(data: PictureBytes, place: int) -> int:
    return int(struct.unpack_from(">H", data, place)[0])


def _u24(data: PictureBytes, place: int) -> int:
    low, high = struct.unpack_from("<HB", data, place)
    return int(low) | int(high) << 16
