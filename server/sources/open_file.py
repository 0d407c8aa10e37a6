"""A file that is already open, for a process that may not open files."""

from __future__ import annotations

import os
import select
from collections.abc import Callable
from errno import EINVAL
from io import RawIOBase
from pathlib import Path
from typing import Literal

from server.errors import SourceFault


class FileReader(RawIOBase):
    """Reads a descriptor from its own position; closing it leaves the descriptor open."""

    def __init__(self, descriptor: int, size: int, name: str, on_read: Callable[[], None]) -> None:
        super().__init__()
        self.name = name
        self._descriptor = descriptor
        self._size = size
        self._on_read = on_read
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def read(self, size: int = -1, /) -> bytes:
        self._on_read()
        data = os.pread(self._descriptor, size if size >= 0 else self._size, self._position)
        self._position += len(data)
        return data

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Return the new position or, as PyAV requires, -EINVAL if that is before the first byte.

        FFmpeg tries such positions, and PyAV would raise an exception from this method at the end.
        """
        base = {os.SEEK_SET: 0, os.SEEK_CUR: self._position, os.SEEK_END: self._size}[whence]
        if base + offset < 0:
            return -EINVAL
        self._position = base + offset
        return self._position


class OpenFile:
    """Replaces a Path: ``name`` is the file's, since a format may be recognised by it, and
    ``on_read`` is called at each read."""

    def __init__(
        self, descriptor: int, name: str, on_read: Callable[[], None] = lambda: None
    ) -> None:
        self._descriptor = descriptor
        self._name = name
        self._on_read = on_read
        # The call takes a path, so that a filter of system calls cannot allow it later.
        self._stat = os.fstat(descriptor)

    def open(self, mode: Literal["rb"] = "rb") -> FileReader:
        """Return a reader that begins at the first byte."""
        assert mode == "rb"
        return FileReader(self._descriptor, self._stat.st_size, self._name, self._on_read)

    def stat(self) -> os.stat_result:
        """Return the file's status when this object was made."""
        return self._stat


def opened(path: Path) -> int:
    """Return a descriptor of a file that is read. Raises SourceFault."""
    try:
        return os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    except OSError as error:
        raise SourceFault(f"The file cannot be read: {error.strerror}.") from error


def is_readable(descriptor: int, seconds: float | None) -> bool:
    """Return whether a descriptor can be read, or has ended, within ``seconds``; None: wait for it.

    ``select`` refuses descriptors above 1023.
    """
    waiting = select.poll()
    waiting.register(descriptor, select.POLLIN)
    return bool(waiting.poll(None if seconds is None else seconds * 1000))
