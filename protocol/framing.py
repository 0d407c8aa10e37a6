"""Binary messages: u32 little-endian header length, JSON header, payload."""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from typing import Any, NamedTuple, NoReturn

from protocol.errors import CloseCode, ProtocolError, too_big
from protocol.foreign import foreign_kind

MAX_HEADER_BYTES = 64 * 1024
_LENGTH = struct.Struct("<I")

compact_json = json.JSONEncoder(separators=(",", ":"), allow_nan=False).encode
"""A JSON value without spaces; made once, since making an encoder costs as much as using it."""


class Message(NamedTuple):
    """A binary message taken apart."""

    header: dict[str, Any]
    payload: bytes


def pack(header: Mapping[str, Any], payload: bytes | bytearray | memoryview = b"") -> bytes:
    """The bytes of one binary message. ``header`` must hold JSON values, no NaN, and be short."""
    text = compact_json(header).encode()
    if len(text) > MAX_HEADER_BYTES:
        raise too_big(f"a header of {len(text)} bytes is over the limit of {MAX_HEADER_BYTES}")
    return b"".join((_LENGTH.pack(len(text)), text, payload))


def unpack(data: bytes | bytearray | memoryview, max_message_bytes: int) -> Message:
    """Take a binary message apart; a bare picture has an empty header.

    So has a bare file of another known kind: it is for whoever decodes pictures to refuse it.
    Raises ProtocolError: 1009 where the message or its header is too big, 1007 where the header
    is not UTF-8, 4400 for all else.
    """
    if len(data) > max_message_bytes:
        raise too_big(f"a message of {len(data)} bytes is over the limit of {max_message_bytes}")
    if picture_kind(data) is not None or _is_foreign(data):
        return Message({}, bytes(data))
    end = _header_end(data)
    header = parse_object(bytes(data[_LENGTH.size : end]), "header") if end > _LENGTH.size else {}
    return Message(header, bytes(data[end:]))


def picture_kind(data: bytes | bytearray | memoryview) -> str | None:
    """Which picture these bytes begin like: "jpeg", "png", "webp" or None.

    No message of ours does: the two high bytes of its length are 0, or 1 and 0 at the most.
    """
    head = bytes(data[:12])
    if head.startswith(b"\xff\xd8\xff"):
        return "jpeg"
    if head.startswith(b"\x89PNG\r\n\x1a\n"):
        return "png"
    if head.startswith(b"RIFF") and head.endswith(b"WEBP"):
        return "webp"
    return None


def parse_object(data: bytes | str, what: str) -> dict[str, Any]:
    """Parse a JSON object strictly: UTF-8, no NaN or Infinity, nothing but an object.

    Raise ProtocolError in words of our own: those of Python's parser are for Python programmers.
    """
    try:
        value = json.loads(_text(data, what), parse_constant=_refuse_constant)
    except ProtocolError:
        raise
    except RecursionError as error:
        raise ProtocolError(f"the {what} is nested too deeply") from error
    except json.JSONDecodeError as error:
        place = f"line {error.lineno}, column {error.colno}"
        raise ProtocolError(f"the {what} is not JSON: it cannot be read at {place}") from error
    except ValueError as error:
        words = "is not JSON that can be read: a number has too many digits"
        raise ProtocolError(f"the {what} {words}") from error
    if not isinstance(value, dict):
        raise ProtocolError(f"the {what} must be a JSON object, not {json_kind(value)}")
    return value


def json_kind(value: object) -> str:
    """How JSON calls a value's type, for messages."""
    names = {bool: "true or false", int: "a number", float: "a number", str: "a text"}
    names |= {list: "an array", dict: "an object", type(None): "null"}
    return names[type(value)] if type(value) in names else type(value).__name__


def _is_foreign(data: bytes | bytearray | memoryview) -> bool:
    """Whether a known file is here in place of a message: one whose header could be legal is not
    taken for it."""
    if len(data) < _LENGTH.size or _LENGTH.unpack_from(data)[0] <= MAX_HEADER_BYTES:
        return False
    return foreign_kind(data) is not None


def _header_end(data: bytes | bytearray | memoryview) -> int:
    if len(data) < _LENGTH.size:
        raise ProtocolError(f"a message of {len(data)} bytes is too short for a header length")
    (length,) = _LENGTH.unpack_from(data)
    if length > MAX_HEADER_BYTES:
        raise too_big(
            f"a header of {length} bytes is over the limit of {MAX_HEADER_BYTES}: send a picture "
            "(JPEG, PNG or WebP) alone, or behind a header and its length"
        )
    end: int = _LENGTH.size + length
    if end > len(data):
        raise ProtocolError(f"the header should have {length} bytes but the message ends before")
    return end


def _text(data: bytes | str, what: str) -> str:
    if isinstance(data, str):
        return data
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError as error:
        raise ProtocolError(f"the {what} is not UTF-8", close=CloseCode.BAD_TEXT) from error


def _refuse_constant(word: str) -> NoReturn:
    raise ProtocolError(f"{word} is not a JSON number")
