"""Binary messages: u32 little-endian header length, JSON header, payload."""

from __future__ import annotations

import struct
from collections.abc import Mapping
from typing import Any, NamedTuple

import msgspec

from protocol.errors import ProtocolError, too_big
from protocol.foreign import foreign_kind
from protocol.reading import Fields, compact_json, parse_object

MAX_HEADER_BYTES = 64 * 1024
_LENGTH = struct.Struct("<I")

Bytes = bytes | bytearray | memoryview

_encode = msgspec.json.Encoder().encode


class Message(NamedTuple):
    """A binary message, split into header and payload."""

    header: dict[str, Any]
    payload: bytes


def pack(header: Fields | Mapping[str, Any], payload: Bytes = b"") -> bytes:
    """Return the bytes of one binary message.

    A header that is a mapping must hold JSON values without NaN. Raises ProtocolError if it is too
    long.
    """
    text = _encode(header) if isinstance(header, Fields) else compact_json(header).encode()
    if len(text) > MAX_HEADER_BYTES:
        raise too_big(f"A header of {len(text)} bytes is over the limit of {MAX_HEADER_BYTES}.")
    return b"".join((_LENGTH.pack(len(text)), text, payload))


def unpack(data: Bytes, max_message_bytes: int) -> Message:
    """Split a binary message, whatever fields its header has. Raises ProtocolError as ``split``."""
    text, payload = split(data, max_message_bytes)
    return Message(parse_object(text, "header"), payload)


def split(data: Bytes, max_message_bytes: int) -> tuple[bytes, bytes]:
    """Return the JSON of a binary message's header, and its payload.

    A bare picture has the header ``{}``, and so has a bare file of another known kind, which the
    picture decoder refuses later. Raises ProtocolError with 1009 if the message or its header is
    too big, otherwise with 4400.
    """
    if len(data) > max_message_bytes:
        raise too_big(f"A message of {len(data)} bytes is over the limit of {max_message_bytes}.")
    if len(data) < _LENGTH.size:
        raise ProtocolError(f"A message of {len(data)} bytes is too short for a header length.")
    (length,) = _LENGTH.unpack_from(data)
    if length > MAX_HEADER_BYTES:
        return b"{}", _bare(data, length)
    end: int = _LENGTH.size + length
    if end > len(data):
        raise ProtocolError(f"The header should have {length} bytes but the message ends before.")
    return bytes(data[_LENGTH.size : end]) or b"{}", bytes(data[end:])


def picture_kind(data: Bytes) -> str | None:
    """Return the kind of picture that begins like these bytes: "jpeg", "png", "webp" or None.

    A message with a header never does: its length is at most 65536, so its two high bytes are 0,
    or 1 and 0.
    """
    head = bytes(data[:12])
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        return "webp"
    return None


def _bare(data: Bytes, length: int) -> bytes:
    """Return the message itself if it is a file of a known kind. Raises ProtocolError if not: read
    as a message with a header, its header is too long."""
    if picture_kind(data) is None and foreign_kind(data) is None:
        raise too_big(
            f"A header of {length} bytes is over the limit of {MAX_HEADER_BYTES}: send a picture "
            "(JPEG, PNG or WebP) alone, or behind a header and its length."
        )
    return bytes(data)
