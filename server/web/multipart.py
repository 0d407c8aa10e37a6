"""The body of an upload, without a socket: chunks in, the file's own bytes out."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Protocol

from python_multipart.exceptions import FormParserError
from python_multipart.multipart import MultipartParser, parse_options_header

from server.errors import BadRequest

FORM_BYTES = 2**16


class Body(Protocol):
    """A request's body, fed chunk by chunk. ``name`` is the file's, as the sender calls it;
    ``fields`` are what the form says beside it, complete after :meth:`finish`."""

    name: str | None
    fields: dict[str, str]

    def feed(self, chunk: bytes) -> bytes | bytearray:
        """The file's bytes within a chunk. Raises BadRequest where it is not well-formed."""

    def finish(self) -> None:
        """Raises BadRequest where the body ended too soon."""


def body_of(content_type: str | None) -> Body:
    """How to read a body of this type. Raises BadRequest for multipart without a boundary."""
    kind, options = parse_options_header(content_type)
    if kind != b"multipart/form-data":
        return RawBody()
    if b"boundary" not in options:
        raise BadRequest("The multipart upload names no boundary in its Content-Type.")
    return MultipartBody(options[b"boundary"])


@dataclass(slots=True)
class RawBody:
    """A body that is the file itself."""

    name: str | None = None
    fields: dict[str, str] = field(default_factory=dict)

    def feed(self, chunk: bytes) -> bytes:
        return chunk

    def finish(self) -> None:
        return


@dataclass(slots=True)
class _Part:
    """The part being read: the header line under way, its disposition, a field's value."""

    header: bytearray = field(default_factory=bytearray)
    header_value: bytearray = field(default_factory=bytearray)
    disposition: bytes = b""
    name: str = ""
    is_file: bool = False
    value: bytearray = field(default_factory=bytearray)


class MultipartBody:
    """A form with exactly one file and small fields around it, in any order."""

    def __init__(self, boundary: bytes) -> None:
        self.name: str | None = None
        self.fields: dict[str, str] = {}
        self._part = _Part()
        self._files = 0
        self._form_bytes = 0
        self._ended = False
        self._file_bytes = bytearray()
        with _well_formed():
            self._parser = MultipartParser(boundary)
        self._parser.callbacks = {
            "on_part_begin": self._begin_part,
            "on_header_field": self._header_field,
            "on_header_value": self._header_value,
            "on_header_end": self._end_header,
            "on_headers_finished": self._end_headers,
            "on_part_data": self._data,
            "on_part_end": self._end_part,
            "on_end": self._end,
        }

    def feed(self, chunk: bytes) -> bytearray:
        with _well_formed():
            self._parser.write(chunk)
        found, self._file_bytes = self._file_bytes, bytearray()
        return found

    def finish(self) -> None:
        if not self._ended:
            raise BadRequest("The multipart upload ended before its closing boundary.")
        if not self._files:
            raise BadRequest("The form holds no file: send the video as a part with a filename.")

    def _begin_part(self) -> None:
        self._part = _Part()
        self._count_form(len("--\r\n"))

    def _header_field(self, data: bytes, start: int, end: int) -> None:
        self._part.header += data[start:end]

    def _header_value(self, data: bytes, start: int, end: int) -> None:
        self._part.header_value += data[start:end]

    def _end_header(self) -> None:
        part = self._part
        if part.header.lower() == b"content-disposition":
            part.disposition = bytes(part.header_value)
        part.header, part.header_value = bytearray(), bytearray()

    def _end_headers(self) -> None:
        _, options = parse_options_header(self._part.disposition)
        self._part.name = _text(options.get(b"name", b""))
        self._part.is_file = b"filename" in options
        if self._part.is_file:
            self._files += 1
            self.name = _text(options[b"filename"])
        if self._files > 1:
            raise BadRequest("The form holds more than one file: upload one video at a time.")

    def _data(self, data: bytes, start: int, end: int) -> None:
        if self._part.is_file:
            self._file_bytes += memoryview(data)[start:end]
        else:
            self._count_form(end - start)
            self._part.value += data[start:end]

    def _end_part(self) -> None:
        if not self._part.is_file:
            self.fields[self._part.name] = self._part.value.decode("utf-8", "replace")

    def _end(self) -> None:
        self._ended = True

    def _count_form(self, size: int) -> None:
        self._form_bytes += size
        if self._form_bytes > FORM_BYTES:
            raise BadRequest(f"The form's fields hold more than {FORM_BYTES} bytes.")


def _text(value: bytes) -> str:
    return value.decode("utf-8", "replace")


@contextmanager
def _well_formed() -> Iterator[None]:
    try:
        yield
    except FormParserError as error:
        raise BadRequest(f"The multipart upload is not well-formed: {error}") from error
