"""Parsing the body of an upload, without a socket: chunks in, the file's own bytes out."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from email.message import Message
from enum import Enum, auto
from typing import Protocol

from server.errors import BadRequest
from server.web.videos.disposition import PartHeaders, read_part_headers

FORM_BYTES = 2**16
HEADER_BYTES = 2**13
MAX_BOUNDARY = 200
"""Characters; RFC 2046 allows 70."""

_MAX_PADDING = 64
_DELIMITER_END = re.compile(rb"--|[ \t]{0,%d}\r?\n" % _MAX_PADDING)
_BLANK_LINE = re.compile(rb"(?:\A|\n)\r?\n")


class Body(Protocol):
    """A request's body, fed chunk by chunk.

    ``name`` is the file's name as the sender gave it. ``fields`` are the form's other parts,
    complete after :meth:`finish`; values of the same name are joined by commas.
    """

    name: str | None
    fields: dict[str, str]

    def feed(self, chunk: bytes) -> bytes | bytearray:
        """Return the file's bytes within a chunk. Raises BadRequest if it is not well-formed."""

    def finish(self) -> None:
        """Raise BadRequest if the body ended too soon."""


def body_of(content_type: str | None) -> Body:
    """Return the parser for a body of this type.

    Raises BadRequest for multipart without a boundary, or with one that is too long.
    """
    message = Message()
    message["Content-Type"] = content_type or ""
    if message.get_content_type() != "multipart/form-data":
        return RawBody()
    boundary = message.get_boundary()
    if not boundary:
        raise BadRequest(
            "The multipart upload has no boundary in its Content-Type: add the parameter."
        )
    if len(boundary) > MAX_BOUNDARY:
        raise BadRequest(
            "The multipart upload is not well-formed: its boundary has more than "
            f"{MAX_BOUNDARY} characters."
        )
    return MultipartBody(boundary.encode("latin-1", "replace"))


@dataclass(slots=True)
class RawBody:
    """A body that is the file itself."""

    name: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def finish(self) -> None:
        return


class _At(Enum):
    """The place of the next bytes: a part's content (or the preamble before the first part), a
    part's headers, or the epilogue."""

    CONTENT = auto()
    HEADERS = auto()
    EPILOGUE = auto()


class MultipartBody:
    """A form with exactly one file and small fields around it, in any order (RFC 7578).

    A file part with neither a name nor bytes, which browsers send for an input left empty, does not
    count. Lines may end with LF alone. Mutable state: the bytes not parsed yet, the place of the
    next ones, the part being read (None in the preamble) and the number of bytes around the file.
    """

    def __init__(self, boundary: bytes) -> None:
        self.name: str | None = None
        self.fields: dict[str, str] = {}
        self._delimiter = b"\n--" + boundary
        self._longest = len(b"\r") + len(self._delimiter) + _MAX_PADDING + len(b"\r\n")
        # A body may begin with its first boundary; all others are preceded by a line break.
        self._buffer = bytearray(b"\r\n")
        self._at = _At.CONTENT
        self._part: PartHeaders | None = None
        self._value = bytearray()
        self._file: PartHeaders | None = None
        self._form_bytes = 0

    def feed(self, chunk: bytes) -> bytearray:
        self._buffer += chunk
        found = bytearray()
        while self._advance(found):
            pass
        return found

    def finish(self) -> None:
        if self._at is _At.CONTENT and self._part is None:
            raise BadRequest(
                "The multipart upload is not well-formed: it ended before a first or closing "
                "boundary."
            )
        if self._at is not _At.EPILOGUE:
            raise BadRequest(
                "The multipart upload ended before its closing boundary: send it again."
            )
        if self._file is None:
            raise BadRequest("The form contains no file: send the video as a part with a filename.")

    def _advance(self, found: bytearray) -> bool:
        """Parse some bytes and add the file's to ``found``; return False if more are needed."""
        if self._at is _At.HEADERS:
            return self._read_headers()
        if self._at is _At.CONTENT:
            return self._read_content(found)
        self._buffer.clear()
        return False

    def _read_headers(self) -> bool:
        end = _BLANK_LINE.search(self._buffer)
        size = end.start() if end else len(self._buffer)
        if size > HEADER_BYTES:
            raise BadRequest(
                f"A part of the form has more than {HEADER_BYTES} bytes of headers: send fewer."
            )
        if end is None:
            return False
        self._count_form(end.end())
        self._begin_part(read_part_headers(bytes(self._buffer[:size])))
        del self._buffer[: end.end()]
        self._at = _At.CONTENT
        return True

    def _read_content(self, found: bytearray) -> bool:
        place = self._find_delimiter()
        if place is None:
            # The last bytes may be the beginning of a delimiter.
            size = max(0, len(self._buffer) - self._longest)
            self._take(self._buffer[:size], found)
            del self._buffer[:size]
            return False
        begin, end = place
        self._at = _At.EPILOGUE if self._buffer[end - 1] == ord("-") else _At.HEADERS
        self._count_form(end - begin)
        self._take(self._buffer[:begin], found)
        self._end_part()
        del self._buffer[:end]
        return True

    def _find_delimiter(self) -> tuple[int, int] | None:
        """Return the beginning and the end of the next whole delimiter, None if there is none.

        A boundary that is followed by other text is not a delimiter.
        """
        place = self._buffer.find(self._delimiter)
        while place >= 0:
            after = place + len(self._delimiter)
            if end := _DELIMITER_END.match(self._buffer, after):
                begin = place - (self._buffer[place - 1 : place] == b"\r")
                return begin, end.end()
            place = self._buffer.find(self._delimiter, after)
        return None

    def _begin_part(self, part: PartHeaders) -> None:
        self._part, self._value = part, bytearray()
        if part.filename:
            self._accept(part)

    def _accept(self, part: PartHeaders) -> None:
        """Take a part that has a name or content as the file."""
        if self._file is not None and self._file is not part:
            raise BadRequest("The form contains more than one file: upload one video at a time.")
        self._file, self.name = part, part.filename

    def _take(self, content: bytearray, found: bytearray) -> None:
        part = self._part
        if part is None or not part.is_file:
            self._count_form(len(content))
            self._value += content
        elif content:
            self._accept(part)
            found += content

    def _end_part(self) -> None:
        part = self._part
        if part is not None and not part.is_file:
            value = self._value.decode("utf-8", "replace")
            known = self.fields.get(part.name)
            self.fields[part.name] = value if known is None else f"{known},{value}"

    def _count_form(self, size: int) -> None:
        self._form_bytes += size
        if self._form_bytes > FORM_BYTES:
            raise BadRequest(
                f"The form's fields hold more than {FORM_BYTES} bytes: send only the video."
            )
