"""An overlay that grows is read as one file, without a gap and without waiting for its end."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from server.videos.growing import CHUNK_BYTES, GrowingFile, Part, empty_overlays, head_size


def box(kind: bytes, size: int = 8) -> bytes:
    return size.to_bytes(4, "big") + kind + bytes(size - 8)


HEAD = box(b"ftyp", 28) + box(b"moov", 700)


def fragment(name: bytes) -> bytes:
    return box(b"moof", 100) + box(b"mdat", 8 + len(name))[:8] + name


class Pieces:
    """The parts of a video's pieces in a folder."""

    def __init__(self, folder: Path, count: int) -> None:
        self._folder, self._count = folder, count

    def __call__(self, number: int) -> Part | None:
        if number >= self._count:
            return None
        return Part(self._folder / f"{number}", self._folder / f"{number}.part")

    def append(self, number: int, data: bytes) -> None:
        part = self(number)
        assert part is not None
        with part.partial.open("ab") as file:
            file.write(data)

    def complete(self, number: int) -> None:
        part = self(number)
        assert part is not None
        part.partial.replace(part.path)


@pytest.fixture
def pieces(tmp_path: Path) -> Pieces:
    return Pieces(tmp_path, 3)


def test_nothing_is_read_before_the_first_fragment_begins(pieces: Pieces) -> None:
    growing = GrowingFile(pieces)
    assert growing.read() == b""
    for end in (4, 28, 300, len(HEAD)):
        pieces.append(0, HEAD[:end])
        assert growing.read() == b""
        (pieces._folder / "0.part").unlink()
        growing.close()


def test_one_part_is_read_as_it_grows(pieces: Pieces) -> None:
    growing = GrowingFile(pieces)
    pieces.append(0, HEAD + fragment(b"a"))
    assert growing.read() == HEAD + fragment(b"a")
    assert growing.read() == b""
    pieces.append(0, fragment(b"b")[:50])
    assert growing.read() == fragment(b"b")[:50]
    pieces.append(0, fragment(b"b")[50:])
    assert growing.read() == fragment(b"b")[50:]
    growing.close()


def test_the_next_piece_follows_without_its_head(pieces: Pieces) -> None:
    growing = GrowingFile(pieces)
    pieces.append(1, HEAD + fragment(b"c"))
    pieces.complete(1)
    pieces.append(0, HEAD + fragment(b"a"))
    assert growing.read() == HEAD + fragment(b"a")
    assert growing.read() == b"", "the first piece is not complete"
    pieces.append(0, fragment(b"b"))
    pieces.complete(0)
    assert growing.read() == fragment(b"b")
    assert growing.read() == fragment(b"c")
    assert growing.read() == b"", "the third piece has not begun"
    pieces.append(2, HEAD + fragment(b"d"))
    pieces.complete(2)
    assert growing.read() == fragment(b"d")
    assert growing.read() == growing.read() == b""
    growing.close()


def test_what_is_open_is_read_to_its_end_after_it_is_removed(pieces: Pieces) -> None:
    growing = GrowingFile(pieces)
    pieces.append(0, HEAD + fragment(b"a"))
    growing.read()
    pieces.append(0, fragment(b"b"))
    (pieces._folder / "0.part").unlink()
    assert growing.read() == fragment(b"b")
    growing.close()


def test_a_part_that_is_written_again_continues_at_the_same_place(pieces: Pieces) -> None:
    growing = GrowingFile(pieces)
    pieces.append(0, HEAD + fragment(b"a"))
    growing.read()
    (pieces._folder / "0.part").unlink()
    pieces.append(0, HEAD + fragment(b"a") + fragment(b"b"))
    assert growing.read() == b""
    pieces.complete(0)
    assert growing.read() == fragment(b"b")
    assert growing.read() == b""
    growing.close()


def test_an_overlay_that_is_emptied_frees_its_space_and_ends(tmp_path: Path) -> None:
    part = Part(tmp_path / "00001.e1" / "overlay.mp4", tmp_path / "00001.e1" / "overlay.mp4.part")
    part.partial.parent.mkdir()
    part.partial.write_bytes(HEAD + fragment(bytes(2 * CHUNK_BYTES)))
    growing = GrowingFile(lambda number: None if number else part)
    assert growing.read()
    with part.partial.open("rb") as other:
        empty_overlays(tmp_path)
        part.partial.unlink()
        assert os.fstat(other.fileno()).st_size == 0
        assert growing.read() == b""
    growing.close()


def test_much_is_read_in_chunks(pieces: Pieces) -> None:
    growing, written = GrowingFile(pieces), HEAD + fragment(bytes(3 * CHUNK_BYTES))
    pieces.append(0, written)
    chunks = []
    while data := growing.read():
        chunks.append(data)
    assert b"".join(chunks) == written and max(map(len, chunks)) == CHUNK_BYTES
    growing.close()


@pytest.mark.parametrize("data", [b"", b"\0\0\0", box(b"ftyp", 28), HEAD, bytes(100)])
def test_a_head_without_a_fragment_after_it_has_no_size(data: bytes) -> None:
    assert head_size(data) is None
    assert head_size(HEAD + b"\0\0\0\x08moof") == len(HEAD)
