"""The places of a container's parts, and the numbers that a demuxer trusts: sizes and times.

Only as much of each format is known as it takes to find them; damaged input gives fewer parts.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

NESTED_BOXES = frozenset({
    b"moov", b"trak", b"mdia", b"minf", b"stbl", b"edts", b"moof", b"traf", b"mvex", b"udta",
    b"dinf",
})  # fmt: skip
NESTED_ELEMENTS = frozenset({
    0x18538067, 0x114D9B74, 0x4DBB, 0x1549A966, 0x1654AE6B, 0xAE, 0xE0, 0x1F43B675, 0xA0,
    0x1C53BB6B, 0xBB, 0xB7, 0x1254C367, 0x7373, 0x63C0, 0x67C8,
})  # fmt: skip
"""Segment, SeekHead, Info, Tracks, Video, Cluster, BlockGroup, Cues, Tags and their entries."""

NUMBERS = 16
"""32-bit numbers at the beginning of a box, such as its counts and times, that may be changed."""

TS_PACKET = 188
IVF_HEADER, IVF_FRAME = 32, 12


@dataclass(frozen=True, slots=True)
class Number:
    """An integer of ``size`` bytes."""

    place: int
    size: int
    order: str = "big"


@dataclass(frozen=True, slots=True)
class Structure:
    """``parts`` are (begin, end) of boxes, elements, chunks or packets; they may be nested."""

    parts: tuple[tuple[int, int], ...]
    numbers: tuple[Number, ...]


Found = Iterator[tuple[tuple[int, int], tuple[Number, ...]]]


def structure(data: bytes) -> Structure:
    """Return what is known of the structure of a container; of an unknown one, pieces of it."""
    for fits, find in _FORMATS:
        if fits(data):
            found = list(find(data))
            break
    else:
        found = list(_pieces(data))
    numbers = tuple(number for _, given in found for number in given)
    return Structure(tuple(part for part, _ in found), numbers)


def _boxes(data: bytes, begin: int = 0, end: int | None = None) -> Found:
    """Find the boxes of MP4 and QuickTime."""
    end = len(data) if end is None else end
    while begin + 8 <= end:
        size = int.from_bytes(data[begin : begin + 4], "big")
        stop = min(end, begin + max(8, size))
        name = data[begin + 4 : begin + 8]
        payload = range(begin + 8, min(stop - 3, begin + 8 + 4 * NUMBERS), 4)
        inside = () if name in NESTED_BOXES or name == b"mdat" else payload
        yield (begin, stop), (Number(begin, 4), *(Number(place, 4) for place in inside))
        if name in NESTED_BOXES:
            yield from _boxes(data, begin + 8, stop)
        begin = stop


def _elements(data: bytes, begin: int = 0, end: int | None = None) -> Found:
    """Find the EBML elements of Matroska and WebM."""
    end = len(data) if end is None else end
    while begin + 2 <= end:
        name = _vint_size(data[begin])
        if begin + name >= end:
            return
        length = _vint_size(data[begin + name])
        head = begin + name + length
        given = int.from_bytes(data[begin + name : head], "big") & ((1 << 7 * length) - 1)
        stop = min(end, head + given)
        value = (Number(head, stop - head),) if 0 < stop - head <= 8 else ()
        yield (begin, stop), (Number(begin + name, length), *value)
        if int.from_bytes(data[begin : begin + name], "big") in NESTED_ELEMENTS:
            yield from _elements(data, head, stop)
        begin = max(stop, begin + 1)


def _vint_size(first: int) -> int:
    return min(8, 9 - first.bit_length()) if first else 8


def _chunks(data: bytes, begin: int = 0, end: int | None = None) -> Found:
    """Find the RIFF chunks of AVI."""
    end = len(data) if end is None else end
    while begin + 8 <= end:
        name = data[begin : begin + 4]
        size = int.from_bytes(data[begin + 4 : begin + 8], "little")
        stop = min(end, begin + 8 + size + size % 2)
        nested = name in (b"RIFF", b"LIST")
        payload = range(begin + 8, min(stop - 3, begin + 8 + 4 * NUMBERS), 4)
        inside = () if nested else tuple(Number(place, 4, "little") for place in payload)
        yield (begin, stop), (Number(begin + 4, 4, "little"), *inside)
        if nested:
            yield from _chunks(data, begin + 12, stop)
        begin = stop


def _tags(data: bytes) -> Found:
    """Find the tags of FLV, each with its type, size and time."""
    begin = 13
    while begin + 15 <= len(data):
        stop = min(len(data), begin + 15 + int.from_bytes(data[begin + 1 : begin + 4], "big"))
        places = ((begin, 1), (begin + 1, 3), (begin + 4, 3), (begin + 7, 1), (begin + 11, 2))
        yield (begin, stop), tuple(Number(place, size) for place, size in places)
        begin = stop


def _packets(data: bytes) -> Found:
    """Find the packets of MPEG-TS, with what follows their headers: lengths, clocks and tables."""
    for begin in range(0, len(data), TS_PACKET):
        places = ((1, 2), (3, 1), (4, 1), (5, 1), (6, 4), (9, 2), (13, 4), (17, 2))
        yield (
            (begin, min(len(data), begin + TS_PACKET)),
            tuple(Number(begin + place, size) for place, size in places),
        )


def _ivf_frames(data: bytes) -> Found:
    yield (0, IVF_HEADER), tuple(Number(place, 4, "little") for place in range(4, IVF_HEADER, 4))
    begin = IVF_HEADER
    while begin + IVF_FRAME <= len(data):
        size = int.from_bytes(data[begin : begin + 4], "little")
        stop = min(len(data), begin + IVF_FRAME + size)
        yield (begin, stop), (Number(begin, 4, "little"), Number(begin + 4, 8, "little"))
        begin = stop


def _png_chunks(data: bytes) -> Found:
    begin = 8
    while begin + 12 <= len(data):
        stop = min(len(data), begin + 12 + int.from_bytes(data[begin : begin + 4], "big"))
        payload = range(begin + 8, min(stop - 3, begin + 8 + 4 * NUMBERS), 4)
        yield (begin, stop), (Number(begin, 4), *(Number(place, 4) for place in payload))
        begin = stop


def _start_codes(data: bytes) -> Found:
    """Find the units of MPEG program and elementary streams, which begin with 00 00 01."""
    begin = data.find(b"\0\0\1")
    while begin >= 0:
        following = data.find(b"\0\0\1", begin + 3)
        stop = len(data) if following < 0 else following
        yield (begin, stop), (Number(begin + 3, 1), Number(begin + 4, 2), Number(begin + 6, 4))
        begin = following


def _pieces(data: bytes) -> Found:
    """Cut what is not known (GIF, ASF, NUT, Y4M, MXF) into pieces of 16 bytes."""
    for begin in range(0, len(data), 16):
        numbers = (Number(begin, 2, "little"), Number(begin + 4, 4), Number(begin + 8, 8, "little"))
        yield (begin, min(len(data), begin + 16)), numbers


_FORMATS: tuple[tuple[Callable[[bytes], bool], Callable[[bytes], Found]], ...] = (
    (lambda data: data[4:8] in (b"ftyp", b"moov", b"mdat", b"wide"), _boxes),
    (lambda data: data[:4] == b"\x1aE\xdf\xa3", _elements),
    (lambda data: data[:4] == b"RIFF", _chunks),
    (lambda data: data[:3] == b"FLV", _tags),
    (lambda data: data[:1] == b"G" and data[TS_PACKET : TS_PACKET + 1] == b"G", _packets),
    (lambda data: data[:4] == b"DKIF", _ivf_frames),
    (lambda data: data[:4] == b"\x89PNG", _png_chunks),
    (lambda data: data[:3] == b"\0\0\1" or data[:4] == b"\0\0\0\1", _start_codes),
)
"""How a format is recognised, and how its parts are found."""
