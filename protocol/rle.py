"""COCO run lengths of a mask: a JSON object {"class index": compressed counts}.

Counts are COCO's: of each class's binary mask read column by column, the lengths of its runs,
zeros first (0 if the mask begins with a one). They are written as pycocotools does: from the
fourth on as the difference from the count two before, then in groups of 5 bits, lowest first, each
a character from code 48 on. Bit 5 is set if more groups follow, bit 4 of the last one is the
sign. ``{"size": [height, width], "counts": counts}`` is thus an RLE that pycocotools reads.
Classes without a pixel are absent; every pixel is in exactly one class.
"""

from __future__ import annotations

import json
from typing import Any

import numpy as np
from numpy.typing import NDArray

from protocol.errors import ProtocolError
from protocol.reading import parse_object

Counts = NDArray[np.int64]

_MORE, _SIGN, _FIRST = 0x20, 0x10, 48
_MAX_GROUPS = 7
"""35 bits: more than any count that fits a mask needs."""


def encode(labels: NDArray[np.uint8]) -> bytes:
    """Return the JSON of labels (H, W)."""
    pixels = labels.ravel(order="F")
    edges = np.concatenate(([0], np.flatnonzero(pixels[1:] != pixels[:-1]) + 1, [pixels.size]))
    owners = pixels[edges[:-1]]
    runs = {
        str(owner): compress(_counts(edges, owners == owner, pixels.size))
        for owner in np.unique(owners)
    }
    return json.dumps(runs, separators=(",", ":")).encode()


def decode(data: bytes, width: int, height: int) -> NDArray[np.uint8]:
    """Return the labels (height, width) that :func:`encode` was given. Raises ProtocolError."""
    owners, starts, lengths = _all_runs(parse_object(data, "mask"), width * height)
    order = np.argsort(starts)
    starts, lengths = starts[order], lengths[order]
    ends = starts + lengths
    whole = starts.size and starts[0] == 0 and ends[-1] == width * height
    if not whole or (starts[1:] != ends[:-1]).any():
        raise ProtocolError("The classes do not cover each pixel exactly once.")
    return np.repeat(owners[order], lengths).reshape(width, height).T.copy()


def compress(counts: Counts) -> str:
    """Return COCO's string of counts (n,)."""
    deltas = counts.copy()
    deltas[3:] -= counts[1:-2]
    longest = int(np.abs(deltas).max()).bit_length()
    shifts = 5 * np.arange(longest // 5 + 1)
    groups = (deltas[:, None] >> shifts) & 0x1F
    rest = deltas[:, None] >> (shifts + 5)
    more = rest != np.where(groups & _SIGN, -1, 0)
    kept = np.ones_like(more)
    kept[:, 1:] = more[:, :-1]
    letters = (groups | (more * _MORE)) + _FIRST
    return bytes(letters[kept].astype(np.uint8)).decode("ascii")


def decompress(text: str) -> Counts:
    """Return the counts of COCO's string. Raises ProtocolError."""
    letters = _letters(text)
    last = np.flatnonzero((letters & _MORE) == 0)
    if not last.size or last[-1] != letters.size - 1:
        raise ProtocolError("The counts of a mask are cut off.")
    first = np.concatenate(([0], last[:-1] + 1))
    place = np.arange(letters.size) - np.repeat(first, last - first + 1)
    if place.max() >= _MAX_GROUPS:
        raise ProtocolError("A count of a mask is too large.")
    deltas = np.add.reduceat((letters & 0x1F) << (5 * place), first)
    deltas -= np.where(letters[last] & _SIGN, np.int64(1) << (5 * place[last] + 5), 0)
    deltas[1::2] = np.cumsum(deltas[1::2])
    deltas[2::2] = np.cumsum(deltas[2::2])
    return deltas


def _counts(edges: Counts, mine: NDArray[np.bool_], size: int) -> Counts:
    ends = np.column_stack((edges[:-1][mine], edges[1:][mine])).ravel()
    counts = np.diff(ends, prepend=0)
    return counts if ends[-1] == size else np.append(counts, size - ends[-1])


def _all_runs(given: dict[str, Any], size: int) -> tuple[NDArray[np.uint8], Counts, Counts]:
    """Owner, start and length of each run of ones, class by class."""
    owners, starts, lengths = [], [], []
    for name, text in given.items():
        counts = _checked_counts(name, text, size)
        begins = np.cumsum(counts) - counts
        owners.append(np.full(counts[1::2].size, int(name), np.uint8))
        starts.append(begins[1::2])
        lengths.append(counts[1::2])
    if not owners:
        raise ProtocolError("A mask needs at least one class.")
    return np.concatenate(owners), np.concatenate(starts), np.concatenate(lengths)


def _checked_counts(name: str, text: object, size: int) -> Counts:
    if name not in _CLASS_NAMES or not isinstance(text, str):
        raise ProtocolError("A mask is an object of class indices 0..255 and their counts.")
    counts = decompress(text)
    if (counts < 0).any() or (counts > size).any() or counts.sum() != size:
        raise ProtocolError(f"The counts of class {name} do not add up to {size} pixels.")
    return counts


def _letters(text: str) -> Counts:
    raw = np.frombuffer(text.encode("utf-8", "surrogatepass"), np.uint8)
    letters = raw.astype(np.int64) - _FIRST
    if not letters.size or ((letters < 0) | (letters > 0x3F)).any():
        raise ProtocolError("The counts of a mask hold a character that counts do not have.")
    return letters


_CLASS_NAMES = frozenset(str(index) for index in range(256))
