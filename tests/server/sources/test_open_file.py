"""A file that is already open."""

from __future__ import annotations

import errno
import os
from pathlib import Path

from server.sources.open_file import OpenFile


def test_readers_have_positions_of_their_own(tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"0123456789")
    reads: list[None] = []
    with path.open("rb") as given:
        file = OpenFile(given.fileno(), "name.mp4", lambda: reads.append(None))
        one, other = file.open(), file.open()
        assert one.name == "name.mp4" and file.stat().st_size == 10
        assert one.read(3) == b"012" and other.read() == b"0123456789" and one.read(2) == b"34"
        assert one.seek(-2, os.SEEK_END) == 8 and one.read(10) == b"89" and one.read(1) == b""
        assert one.seek(1) == 1 and one.seek(2, os.SEEK_CUR) == one.tell() == 3
        assert len(reads) == 5
        assert one.seek(-1) == -errno.EINVAL and one.tell() == 3
        one.close()
        assert other.seek(0) == 0 and other.read(1) == b"0"
