"""Reading an overlay while it grows: the parts of its pieces, one after the other, as one file.

Each part is a fragmented MP4 file (ISO/IEC 14496-12, 8.8): a head that describes the video, which
is the same in all parts, and fragments with absolute times. So the head and the fragments of all
parts in order are a fragmented file of the whole video.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

CHUNK_BYTES = 2**18
_HEAD_BYTES = 2**16
"""A head is far smaller than this."""
_BOX = 8
"""Bytes of a box's size and type."""


@dataclass(frozen=True, slots=True)
class Part:
    """The place of one piece's part: ``path`` once it is complete, ``partial`` until then."""

    path: Path
    partial: Path


PartOf = Callable[[int], Part | None]
"""Returns the part of the piece with a number from 0 on, or None after the last."""


class GrowingFile:
    """Reads the existing bytes of the parts, in order; each call continues where the last one
    ended.

    Mutable state: the number of the piece, its file if it is open, and whether its head is read or
    skipped. A file that is open stays readable if it is renamed or removed. A part that is written
    again has the same bytes.
    """

    def __init__(self, part_of: PartOf) -> None:
        self._part_of = part_of
        self._number = 0
        self._file: BinaryIO | None = None
        self._begun = False

    def __repr__(self) -> str:
        return f"<GrowingFile piece={self._number} open={self._file is not None}>"

    def read(self) -> bytes:
        """Return at most CHUNK_BYTES more; empty if there are no more so far. Blocks briefly."""
        while part := self._part_of(self._number):
            complete = part.path.exists()  # before reading: afterwards more might have been written
            if data := self._read(part):
                return data
            if not complete:
                break
            if not self._reopen(part.path):
                self.close()
                self._number += 1
        return b""

    def close(self) -> None:
        """Close the file that is open. Idempotent."""
        if self._file is not None:
            self._file.close()
        self._file, self._begun = None, False

    def _read(self, part: Part) -> bytes:
        if self._file is None:
            self._file = _opened(part)
        if self._file is None or not (self._begun or self._begin(self._file)):
            return b""
        return self._file.read(CHUNK_BYTES)

    def _reopen(self, path: Path) -> bool:
        """If the open file was given up and the part was written again, continue in the complete
        file at the same place; return whether it is another file."""
        if self._file is None:
            return True
        with suppress(FileNotFoundError):
            if not os.path.samestat(os.fstat(self._file.fileno()), path.stat()):
                place = self._file.tell()
                self._file.close()
                self._file = path.open("rb")
                self._file.seek(place)
                return True
        return False

    def _begin(self, file: BinaryIO) -> bool:
        """Go to the first byte of a part that is to be sent; return whether it exists."""
        file.seek(0)
        size = head_size(file.read(_HEAD_BYTES))
        if size is None:
            return False
        file.seek(0 if self._number == 0 else size)
        self._begun = True
        return True


def head_size(data: bytes) -> int | None:
    """Return how many bytes come before a fragmented file's first fragment; None if they are not
    all in ``data``."""
    place = 0
    while len(data) >= place + _BOX:
        if data[place + 4 : place + _BOX] == b"moof":
            return place
        place += max(_BOX, int.from_bytes(data[place : place + 4], "big"))
    return None


def empty_overlays(folder: Path) -> None:
    """Truncate the overlays in a folder and below, so that readers that have one open end there."""
    for path in list(folder.rglob("overlay.mp4*")):
        with suppress(OSError):  # it may have been renamed or removed
            os.truncate(path, 0)


def _opened(part: Part) -> BinaryIO | None:
    for path in (part.partial, part.path):  # check in this order: it may be renamed in between
        with suppress(FileNotFoundError):
            return path.open("rb")
    return None
