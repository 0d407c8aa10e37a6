"""The file of a recording: the blocks read from a complete, a damaged and a truncated one."""

from __future__ import annotations

import zlib
from pathlib import Path

import pytest

from server.errors import BadRecording, NotFound
from server.recordings.recording_file import MAGIC, Block, encode, read
from server.recordings.records import Ending, Lost, Opening, Rebuilt, from_json, to_json

FIRST = Opening(
    version="1", stream="door", model={}, provider="fake", device="cpu", policy="every", began=0.0
)
BLOCKS = [
    Block(FIRST, b""),
    Block(Lost(seqs=(1, 2), cause="newer"), b""),
    Block(Rebuilt(seq=3), b"a picture"),
    Block(Ending(why="closed"), b""),
]
WHOLE = MAGIC + b"".join(encode(*block) for block in BLOCKS)


def usable(path: Path) -> tuple[list[Block], str]:
    """Return what can be read, and the error that ends it."""
    blocks = []
    try:
        for block in read(path):
            blocks.append(block)  # noqa: PERF402  what came before an error is kept
    except BadRecording as error:
        return blocks, str(error)
    return blocks, ""


def test_its_bytes(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(WHOLE)
    assert usable(tmp_path / "a") == (BLOCKS, "")
    lengths, content = b"\0\0\0\x1a\0\0\0\x02", b'{"kind":"rebuilt","seq":3}xy'
    checksum = zlib.crc32(lengths + content).to_bytes(4, "big")
    assert encode(Rebuilt(seq=3), b"xy") == lengths + checksum + content


def test_every_cut_leaves_what_was_before_it(tmp_path: Path) -> None:
    path = tmp_path / "a"
    ends = [len(MAGIC)]
    for block in BLOCKS:
        ends.append(ends[-1] + len(encode(*block)))
    for cut in range(len(MAGIC), len(WHOLE) + 1):
        path.write_bytes(WHOLE[:cut])
        blocks, error = usable(path)
        assert blocks == BLOCKS[: sum(end <= cut for end in ends[1:])]
        assert bool(error) == (cut not in ends[1:])


def test_every_flipped_byte_is_found(tmp_path: Path) -> None:
    path = tmp_path / "a"
    for place in range(len(WHOLE)):
        path.write_bytes(WHOLE[:place] + bytes([WHOLE[place] ^ 0x10]) + WHOLE[place + 1 :])
        blocks, error = usable(path)
        assert error and blocks == BLOCKS[: len(blocks)] and len(blocks) < len(BLOCKS)


@pytest.mark.parametrize(
    ("content", "words"),
    [
        (b"", "is not a recording"),
        (b"GIF89a", "is not a recording"),
        (MAGIC, "is empty"),
        (MAGIC + encode(Rebuilt(seq=3)), "is damaged"),
        (MAGIC + encode(FIRST) + encode(FIRST), "is damaged"),
    ],
)
def test_what_is_no_recording(tmp_path: Path, content: bytes, words: str) -> None:
    (tmp_path / "a").write_bytes(content)
    assert words in usable(tmp_path / "a")[1]


def test_no_file(tmp_path: Path) -> None:
    with pytest.raises(NotFound, match="cannot be read: No such file"):
        next(read(tmp_path / "a"))


@pytest.mark.parametrize("text", [b"", b"[]", b'{"kind":"other"}', b'{"kind":"rebuilt"}'])
def test_what_is_no_record(text: bytes) -> None:
    with pytest.raises(ValueError, match="not a record"):
        from_json(text)


def test_a_record_may_have_fields_of_a_later_version() -> None:
    assert from_json(b'{"kind":"rebuilt","seq":3,"more":1}') == Rebuilt(seq=3)
    assert from_json(to_json(FIRST)) == FIRST
