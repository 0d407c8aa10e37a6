"""The file of a recording: a line that names its format, then one block per record.

A block is three big-endian u32 (the length of its JSON, the length of its payload, the CRC-32 of
these eight bytes, the JSON and the payload), the JSON and the payload. So a truncated or damaged
file can be used up to the fault.
"""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from pathlib import Path
from struct import Struct
from typing import BinaryIO, NamedTuple

from server.errors import BadRecording, NotFound
from server.recordings.records import Opening, Pictured, Record, from_json, to_json

MAGIC = b"mastream recording 1\n"
MAX_JSON_BYTES = 2**20
MAX_PAYLOAD_BYTES = 2**28

_LENGTHS = Struct(">II")
_CHECKSUM = Struct(">I")


class Block(NamedTuple):
    """A record, and the picture that belongs to it, if any."""

    record: Record
    payload: bytes


def encode(record: Record | Pictured, payload: bytes = b"") -> bytes:
    """Return the block of a record."""
    text = to_json(record)
    lengths = _LENGTHS.pack(len(text), len(payload))
    return b"".join((lengths, _CHECKSUM.pack(_checksum(lengths, text, payload)), text, payload))


def read(path: Path) -> Iterator[Block]:
    """Yield the blocks of a recording; the first holds its Opening.

    Raises NotFound if the file cannot be read, and BadRecording if it is damaged or cut off, after
    yielding everything before the fault.
    """
    try:
        with path.open("rb") as file:
            yield from _blocks(file, path)
    except OSError as error:
        raise NotFound(f"{path} cannot be read: {error.strerror}.") from error


def _blocks(file: BinaryIO, path: Path) -> Iterator[Block]:
    if file.read(len(MAGIC)) != MAGIC:
        raise BadRecording(f"{path} is not a recording of mastream; give a file that it recorded.")
    is_first = True
    while lengths := file.read(_LENGTHS.size):
        block = _block(file, lengths)
        if block is None or is_first != isinstance(block.record, Opening):
            place = file.tell()
            raise BadRecording(
                f"{path} is damaged or cut off before byte {place}; what precedes it can be used."
            )
        is_first = False
        yield block
    if is_first:
        raise BadRecording(f"{path} is empty: it was cut off at its beginning; record again.")


def _block(file: BinaryIO, lengths: bytes) -> Block | None:
    """Return the block that begins with ``lengths``, or None if it is damaged."""
    checksum = file.read(_CHECKSUM.size)
    if len(lengths) < _LENGTHS.size:
        return None
    text_bytes, payload_bytes = _LENGTHS.unpack(lengths)
    if text_bytes > MAX_JSON_BYTES or payload_bytes > MAX_PAYLOAD_BYTES:
        return None
    text, payload = file.read(text_bytes), file.read(payload_bytes)
    if checksum != _CHECKSUM.pack(_checksum(lengths, text, payload)):
        return None
    try:
        return Block(from_json(text), payload)
    except ValueError:
        return None


def _checksum(lengths: bytes, text: bytes, payload: bytes) -> int:
    return zlib.crc32(payload, zlib.crc32(text, zlib.crc32(lengths)))
