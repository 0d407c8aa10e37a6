"""A pipe whose two ends close themselves, and writing to a child that may not read everything."""

from __future__ import annotations

import os
from contextlib import suppress
from io import FileIO


def pipe() -> tuple[FileIO, FileIO]:
    """Return the end to read from and the end to write to; nothing is buffered, so closing them
    cannot fail. Raises OSError if there are too many open files."""
    reader, writer = os.pipe()
    return FileIO(reader, "r"), FileIO(writer, "w")


def write_all(writer: FileIO, data: bytes) -> None:
    """Write everything, unless the reader has ended."""
    left = memoryview(data)
    with suppress(BrokenPipeError):
        while left:
            left = left[writer.write(left) :]
