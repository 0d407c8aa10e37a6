"""The markers of a JPEG: where its frame header is, and where the picture ends.

Nothing is decoded. Layouts: ITU T.81, B.1.1 (markers), B.2.2 (SOFn), B.2.3 (SOS).
"""

from __future__ import annotations

import re
import struct
from dataclasses import dataclass

from server.errors import Undecodable

PictureBytes = bytes | bytearray | memoryview

MAX_SEGMENTS = 1000
"""Limit for segments and fill bytes before the frame header, and for segments after it, so that a
picture of millions of empty ones does not take seconds."""

MAX_SCANS = 100
"""Encoders write about ten. A scan of a few bytes costs a pass over the whole picture, and a
decoder cannot be interrupted."""

START = b"\xff\xd8"
END = b"\xff\xd9"

_SEARCHED_AT_ONCE = 2**18
"""Bytes per search; a search holds the GIL, and between two searches other threads can run."""

_START_OF_FRAME = frozenset(range(0xC0, 0xD0)) - {0xC4, 0xC8, 0xCC}
_WITHOUT_LENGTH = frozenset({0x01, 0xD8, *range(0xD0, 0xD8)})
_END_OF_IMAGE, _START_OF_SCAN = 0xD9, 0xDA
_COEFFICIENTS = 64
_MAX_COMPONENTS = 4  # of one scan

# In compressed data 0xFF is followed by 0 (then it is data) or by a restart marker's number.
_MARKER = re.compile(rb"\xff[^\x00\xff\xd0-\xd7]")


@dataclass(frozen=True, slots=True)
class Extent:
    """``end`` is where the picture ends: after its end marker, or with the data if it has none.

    ``covered`` says whether its scans announce every coefficient of every component in full
    precision.
    """

    end: int
    has_marker: bool
    covered: bool


def frame_header(data: PictureBytes) -> int:
    """Return where the frame header begins. Raises Undecodable if there is none, and struct.error
    or IndexError if the data ends before it."""
    place = 2
    for _ in range(MAX_SEGMENTS):
        fill, marker = data[place], data[place + 1]
        if marker == fill == 0xFF:
            place += 1
            continue
        # 0xFF 0x00 and reserved markers have no length: a decoder that skips them may continue at
        # another place than this function, and find another size there.
        if fill != 0xFF or marker in (0xD9, 0xDA) or (marker < 0xC0 and marker != 0x01):
            break
        if marker in _START_OF_FRAME:
            return place
        place += 2 if marker in _WITHOUT_LENGTH else 2 + _u16(data, place + 2)
    raise Undecodable("The JPEG picture has no frame header.")


def frame_size(data: PictureBytes, frame: int) -> tuple[int, int]:
    """Return (height, width) from the frame header, which begins at ``frame``. Raises struct.error
    if the data ends within it."""
    return _u16(data, frame + 5), _u16(data, frame + 7)


def has_exif(data: PictureBytes, frame: int) -> bool:
    """Return whether there may be an EXIF orientation before the frame header."""
    return b"Exif\0" in bytes(data[:frame])


def extent(data: PictureBytes, frame: int) -> Extent:
    """Follow the markers from the frame header to the end marker. Raises Undecodable if there are
    too many scans or segments.

    Data after the end marker (the video of a motion photo, a second picture) is ignored, and so are
    the markers of thumbnails within segments.
    """
    place = frame
    scans: list[bytes] = []
    for _ in range(MAX_SEGMENTS):
        place = _next_marker(data, place)
        kind = data[place + 1] if place < len(data) else None
        if kind is None or kind == _END_OF_IMAGE:
            end = min(place + len(END), len(data))
            return Extent(end, kind is not None, _is_covered(data[frame + 9], scans))
        length = 0 if kind in _WITHOUT_LENGTH else _length(data, place)
        if kind == _START_OF_SCAN:
            scans.append(bytes(data[place + 4 : place + 2 + length]))
        if len(scans) > MAX_SCANS:
            raise Undecodable(f"The JPEG picture has more than {MAX_SCANS} scans.")
        place += 2 + length
    raise Undecodable(f"The JPEG picture has more than {MAX_SEGMENTS} segments.")


def next_restart(data: PictureBytes) -> bytes:
    """Return the restart marker that a decoder expects after compressed data that ends here."""
    whole = bytes(data)
    places = [whole.rfind(bytes((0xFF, 0xD0 + number))) for number in range(8)]
    last = places.index(max(places))
    return bytes((0xFF, 0xD0 + (0 if max(places) < 0 else (last + 1) % 8)))


def _next_marker(data: PictureBytes, place: int) -> int:
    """Return where the next marker outside compressed data begins; the data's end if none does."""
    while place < len(data):
        # Search one byte more, for a marker that crosses the boundary.
        found = _MARKER.search(data, place, place + _SEARCHED_AT_ONCE + 1)
        if found:
            return found.start()
        place += _SEARCHED_AT_ONCE
    return len(data)


def _is_covered(components: int, scans: list[bytes]) -> bool:
    done = {one for scan in scans for one in _completed(scan)}
    return components > 0 and len(done) >= components * _COEFFICIENTS


def _completed(scan: bytes) -> list[tuple[int, int]]:
    """Return all (component, coefficient) that this scan completes to full precision."""
    count = scan[0] if scan else 0
    if count > _MAX_COMPONENTS or len(scan) < 1 + 2 * count + 3:
        return []
    first, last, precision = scan[1 + 2 * count :][:3]
    if precision & 0x0F:
        return []
    coefficients = range(first, min(last, _COEFFICIENTS - 1) + 1)
    return [(scan[1 + 2 * index], one) for index in range(count) for one in coefficients]


def _length(data: PictureBytes, place: int) -> int:
    """Return the length in a segment's header; the rest of the data if the header is cut off."""
    return _u16(data, place + 2) if place + 4 <= len(data) else len(data) - place


def _u16(data: PictureBytes, place: int) -> int:
    return int(struct.unpack_from(">H", data, place)[0])
