"""The bytes of an RTSP server, divided into messages and packets (RFC 2326), so that a redirect
cannot reach FFmpeg, which would follow it anywhere.

Anything that FFmpeg might divide differently is an error: control characters, a line that begins
like a packet, lengths given twice. Pure: bytes in, bytes out.
"""

from __future__ import annotations

import re

from server.errors import SourceFault, SourceForbidden

MAX_HEAD = 16 * 2**10
MAX_BODY = 2**20

SHORTEST_PACKET = 8
"""FFmpeg reads the content of a shorter packet as a message."""

_STATUS = re.compile(rb"RTSP/\d\.\d (\d{3})(?: |\Z)")
_REQUEST = re.compile(rb"[A-Z_]+ ")
_HEADER = re.compile(rb"([!#-'*+.^_`|~0-9A-Za-z-]+):(.*)\Z", re.DOTALL)
_CONTROL = re.compile(rb"[\x00-\x08\x0b-\x1f\x7f]")
_END = re.compile(rb"\r?\n\r?\n|\A\r?\n")


class RtspFraming:
    """Mutable state: the bytes of a message or packet that is not complete."""

    def __init__(self) -> None:
        self._kept = bytearray()

    def feed(self, data: bytes) -> bytes:
        """Return the complete messages and packets among the bytes received so far.

        Raises SourceForbidden for a redirect, and SourceFault for anything that is not RTSP.
        """
        self._kept += data
        begin, kept = 0, bytearray()
        while (size := _size(self._kept, begin)) is not None:
            if self._kept[begin] != ord("$") or size >= 4 + SHORTEST_PACKET:
                kept += memoryview(self._kept)[begin : begin + size]
            begin += size
        del self._kept[:begin]
        return bytes(kept)


def _size(data: bytearray, begin: int) -> int | None:
    """Return the bytes of the message or packet that begins here; None if it is incomplete."""
    left = len(data) - begin
    if left < 1:
        return None
    if data[begin] == ord("$"):
        size = 4 + int.from_bytes(data[begin + 2 : begin + 4], "big") if left >= 4 else left + 1
    else:
        head = _head(bytes(data[begin : begin + MAX_HEAD]))
        size = left + 1 if head is None else len(head) + _body(head)
    return size if size <= left else None


def _head(data: bytes) -> bytes | None:
    """Return the lines of a message with its empty line; None if it is incomplete."""
    end = _END.search(data)
    if end is None and len(data) >= MAX_HEAD:
        raise _not_rtsp()
    return None if end is None else data[: end.end()]


def _body(head: bytes) -> int:
    """Return the length of a message's body. Raises the errors of :meth:`RtspFraming.feed`."""
    first, *lines = head.replace(b"\r\n", b"\n").rstrip(b"\n").split(b"\n")
    if not first:
        return 0
    if _CONTROL.search(head.replace(b"\r\n", b"\n")):
        raise _not_rtsp()
    _check_first(first)
    lengths = [found[2].strip(b" \t") for line in lines if _is_length(found := _header(line))]
    if not lengths:
        return 0
    if len(lengths) > 1 or not re.fullmatch(rb"\d{1,7}", lengths[0]) or int(lengths[0]) > MAX_BODY:
        raise _not_rtsp()
    return int(lengths[0])


def _check_first(line: bytes) -> None:
    status = _STATUS.match(line)
    if status is None and not _REQUEST.match(line):
        raise _not_rtsp()
    if status is not None and status[1].startswith(b"3"):
        raise SourceForbidden(
            "The source redirects to another address, which the server does not follow: give that "
            "address instead."
        )


def _header(line: bytes) -> re.Match[bytes]:
    found = _HEADER.match(line)
    if found is None:
        raise _not_rtsp()
    return found


def _is_length(header: re.Match[bytes]) -> bool:
    return header[1].lower() == b"content-length"


def _not_rtsp() -> SourceFault:
    return SourceFault("The source does not speak RTSP correctly: check its address and port.")
