"""File names in HTTP: reading those of uploaded form parts, writing those of downloads.

Clients differ. A name may be written plainly (UTF-8 or Latin-1, quotes as ``\\"`` or, by browsers,
as %22), as RFC 8187's ``filename*``, in the pieces of RFC 2231, as RFC 2047's encoded words, or
be given in the Content-Type; it may be a whole Windows path.
"""

from __future__ import annotations

import re
from contextlib import suppress
from dataclasses import dataclass
from email.errors import HeaderParseError
from email.header import decode_header
from email.message import Message
from email.parser import HeaderParser
from typing import Any
from urllib.parse import quote

from server.errors import BadRequest

FILE_FIELD = "file"
"""A part of this name is the file, even if nothing else marks it as one."""

MAX_PARAMETERS = 64
"""Parameters of one part. The time to read them grows with the square of their number."""

VIDEO_TYPES = {
    "avi": "video/x-msvideo",
    "m4v": "video/mp4",
    "mkv": "video/x-matroska",
    "mov": "video/quicktime",
    "mp4": "video/mp4",
    "webm": "video/webm",
}
"""Media types by the suffix of a file's name; browsers recognise what they can play by itself."""

_FOLD = re.compile(r"\r?\n[ \t]+")
_ESCAPED_BY_BROWSERS = {"%22": '"', "%0A": "\n", "%0D": "\r"}
_AS_IT_IS = {"", "7bit", "8bit", "binary"}
_FIELD_KINDS = {"text", "multipart", "message"}
_FIELD_TYPES = {"application/json", "application/xml", "application/x-www-form-urlencoded"}
_UNSAFE = re.compile(r'[^ -~]|["\\%]')


@dataclass(frozen=True, slots=True, eq=False)
class PartHeaders:
    """The headers of a form's part.

    ``filename`` is None if the part has none, and blank for an input that was left empty.
    """

    name: str
    is_file: bool
    filename: str | None = None


def read_part_headers(block: bytes) -> PartHeaders:
    """Read the lines before a part's blank line.

    Raises BadRequest if they are not headers, or if the part has a transfer encoding.
    """
    if block.count(b";") > MAX_PARAMETERS:
        raise BadRequest(
            f"A part of the form has more than {MAX_PARAMETERS} parameters: send fewer."
        )
    message = HeaderParser().parsestr(_FOLD.sub(" ", _text(block)))
    if message.defects:
        raise BadRequest(
            "The multipart upload is not well-formed: a part has a header without a name."
        )
    _check_encoding(message)
    name = _parameter(message, "content-disposition", "name") or ""
    filename = _parameter(message, "content-disposition", "filename")
    if filename is None and _is_binary(message):
        filename = _parameter(message, "content-type", "name")
    is_file = filename is not None or name == FILE_FIELD or _is_binary(message)
    return PartHeaders(name, is_file, filename)


def offered(kind: str, name: str) -> str:
    """Return the Content-Disposition of a response; ``kind`` is inline or attachment.

    A name beyond plain ASCII is given twice: for clients that know ``filename*`` and for the
    others (RFC 6266, appendix D).
    """
    plain = _UNSAFE.sub("_", name)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{exact}'


def video_type(name: str) -> str:
    """Return the media type of a video file with this name."""
    return VIDEO_TYPES.get(name.rpartition(".")[2].lower(), "application/octet-stream")


def _check_encoding(message: Message) -> None:
    encoding = str(message.get("content-transfer-encoding", "")).strip().lower()
    if encoding not in _AS_IT_IS:
        raise BadRequest(
            f"A part of the form is encoded as {encoding[:40]!r}: send its bytes as they are."
        )


def _is_binary(message: Message) -> bool:
    """Return whether the part's type is that of a file; a part without a type is a field."""
    kind = message.get_content_type()
    return message.get_content_maintype() not in _FIELD_KINDS and kind not in _FIELD_TYPES


def _parameter(message: Message, header: str, name: str) -> str | None:
    """Return a parameter in its best form: a readable extended one, otherwise the plain one."""
    # An extended value is a tuple, contrary to its annotation in typeshed.
    parameters: list[tuple[str, Any]] = message.get_params([], header)
    values = [value for key, value in parameters if key == name]
    extended = [value for value in values if isinstance(value, tuple)]
    for charset, _language, text in extended:
        with suppress(ValueError, LookupError):
            # The characters are the bytes that were percent-encoded.
            return str(text.encode("latin-1").decode(charset or "utf-8"))
    for plain in values:
        if isinstance(plain, str):
            return _decoded_words(_unescaped(plain))
    return str(extended[0][2]) if extended else None


def _unescaped(text: str) -> str:
    for escaped, character in _ESCAPED_BY_BROWSERS.items():
        text = text.replace(escaped, character)
    return text


def _decoded_words(text: str) -> str:
    """Decode RFC 2047's encoded words; return the text unchanged if that fails."""
    if "=?" not in text:
        return text
    try:
        return "".join(_decoded(*piece) for piece in decode_header(text)) or text
    except (ValueError, LookupError, HeaderParseError):
        return text


def _decoded(piece: bytes | str, charset: str | None) -> str:
    if isinstance(piece, str):
        return piece
    return piece.decode(charset.partition("*")[0] if charset else "raw-unicode-escape")


def _text(block: bytes) -> str:
    try:
        return block.decode("utf-8")
    except UnicodeDecodeError:
        return block.decode("latin-1")
