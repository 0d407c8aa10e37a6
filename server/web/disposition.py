"""Names of files in HTTP: what a form's part says of itself, and what an answer offers.

Clients differ. A name may be written plainly (UTF-8 or Latin-1, quotes as ``\\"`` or, by browsers,
as %22), as RFC 8187's ``filename*``, in the pieces of RFC 2231, as RFC 2047's encoded words, or
stand in the Content-Type; it may be a whole Windows path.
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
"""A part of this name is the file, even where nothing else says so."""

MAX_PARAMETERS = 64
"""Of one part. The time to read them grows with the square of their number."""

_FOLD = re.compile(r"\r?\n[ \t]+")
_ESCAPED_BY_BROWSERS = {"%22": '"', "%0A": "\n", "%0D": "\r"}
_AS_IT_IS = {"", "7bit", "8bit", "binary"}
_FIELD_KINDS = {"text", "multipart", "message"}
_FIELD_TYPES = {"application/json", "application/xml", "application/x-www-form-urlencoded"}
_UNSAFE = re.compile(r'[^ -~]|["\\%]')


@dataclass(frozen=True, slots=True, eq=False)
class PartHeaders:
    """What a part of a form is: ``filename`` is None if it has none, blank for an unused input."""

    name: str
    is_file: bool
    filename: str | None = None


def read_part_headers(block: bytes) -> PartHeaders:
    """Read the lines before a part's blank line. Raise BadRequest if they are not headers, or if
    the part is encoded once more."""
    if block.count(b";") > MAX_PARAMETERS:
        raise BadRequest(f"A part of the form has more than {MAX_PARAMETERS} parameters.")
    message = HeaderParser().parsestr(_FOLD.sub(" ", _text(block)))
    if message.defects:
        raise BadRequest("The multipart upload is not well-formed: a part has a header of no name.")
    _check_encoding(message)
    name = _parameter(message, "content-disposition", "name") or ""
    filename = _parameter(message, "content-disposition", "filename")
    if filename is None and _is_binary(message):
        filename = _parameter(message, "content-type", "name")
    is_file = filename is not None or name == FILE_FIELD or _is_binary(message)
    return PartHeaders(name, is_file, filename)


def offered(kind: str, name: str) -> str:
    """The Content-Disposition of an answer: ``kind`` is inline or attachment.

    A name beyond plain ASCII comes twice: for clients that know ``filename*`` and for the others
    (RFC 6266, appendix D).
    """
    plain = _UNSAFE.sub("_", name)
    exact = "" if plain == name else f"; filename*=UTF-8''{quote(name, safe='')}"
    return f'{kind}; filename="{plain}"{exact}'


def _check_encoding(message: Message) -> None:
    encoding = str(message.get("content-transfer-encoding", "")).strip().lower()
    if encoding not in _AS_IT_IS:
        raise BadRequest(
            f"A part of the form is encoded as {encoding[:40]!r}: send its bytes as they are."
        )


def _is_binary(message: Message) -> bool:
    """Whether the part's type is that of a file and not of a field; without one it is a field."""
    kind = message.get_content_type()
    return message.get_content_maintype() not in _FIELD_KINDS and kind not in _FIELD_TYPES


def _parameter(message: Message, header: str, name: str) -> str | None:
    """A parameter in its best form: an extended one that can be read, else the plain one."""
    # An extended value is a tuple, which its annotation in typeshed does not say.
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
    """The text with RFC 2047's encoded words decoded; itself if they cannot be."""
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
