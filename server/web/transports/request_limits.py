"""How large a request's head may be, and how long a request may take. No clock and no socket."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from server.errors import HeadTooLarge, TooSlow, UrlTooLong

MAX_LINE_BYTES = 8000
"""Maximum bytes of the URL, and of a header's name and value: with their delimiters 8 KiB, the
limit of the parser of WebSocket handshakes."""

MAX_HEADERS = 127
MAX_HEAD_BYTES = 64 * 1024

HEAD_SECONDS = 10.0
"""Time for a request's head, from the start of the connection or the end of the last response."""

BODY_SECONDS = 30.0
MIN_BODY_RATE = 500.0
"""Bytes per second; each second's worth extends the deadline by one, up to BODY_SECONDS."""


def check_url(url: bytes) -> None:
    """Raise UrlTooLong if the URL is too long."""
    if len(url) > MAX_LINE_BYTES:
        raise UrlTooLong(f"The URL is longer than {MAX_LINE_BYTES} bytes; shorten it.")


def check_headers(headers: Sequence[tuple[bytes, bytes]]) -> None:
    """Raise HeadTooLarge if there are too many headers or the last one is too long."""
    if len(headers) > MAX_HEADERS:
        raise HeadTooLarge(f"There are more than {MAX_HEADERS} headers; send fewer.")
    if headers and sum(map(len, headers[-1])) > MAX_LINE_BYTES:
        raise HeadTooLarge(f"A header is longer than {MAX_LINE_BYTES} bytes; shorten it.")


def check_head(size: int) -> None:
    """Raise HeadTooLarge if the head so far has too many bytes."""
    if size > MAX_HEAD_BYTES:
        raise HeadTooLarge(f"The headers are larger than {MAX_HEAD_BYTES} bytes; send fewer.")


class Awaiting(Enum):
    """Which part of a request comes next."""

    START = "start"
    HEAD = "head"
    BODY = "body"
    REST = "rest of a body, answered before its end"
    NOTHING = "nothing"


@dataclass(slots=True)
class RequestClock:
    """The time limits of one connection's requests.

    Mutable state: the part of a request that is awaited, and the deadline for it; None if it is
    not the client's turn. ``now`` is passed in.
    """

    head_seconds: float
    body_seconds: float
    deadline: float | None
    awaiting: Awaiting = Awaiting.START

    def begun(self) -> None:
        """Record that the first byte of a head has arrived; its time is running already."""
        self.awaiting = Awaiting.HEAD

    def head_came(self, now: float) -> None:
        self.awaiting = Awaiting.BODY
        self.deadline = now + self.body_seconds

    def body_came(self, size: int, now: float) -> None:
        if self.deadline is not None and self.awaiting is not Awaiting.REST:
            earned = self.deadline + size / MIN_BODY_RATE
            self.deadline = min(earned, now + self.body_seconds)

    def request_came(self, now: float) -> None:
        """Record that the whole request has arrived."""
        self.deadline = now + self.head_seconds if self.awaiting is Awaiting.REST else None
        self.awaiting = Awaiting.START if self.awaiting is Awaiting.REST else Awaiting.NOTHING

    def answered(self, now: float) -> None:
        """Record that the newest request is answered; the rest of its body may still arrive until
        its deadline, which moves no more: the bytes are only discarded."""
        if self.awaiting is Awaiting.BODY:
            self.awaiting = Awaiting.REST
        else:
            self.awaiting = Awaiting.START
            self.deadline = now + self.head_seconds

    def not_read(self, now: float) -> None:
        """Extend the deadline: the server is not reading, so the client cannot send."""
        if self.deadline is not None and self.awaiting is not Awaiting.REST:
            self.deadline = max(self.deadline, now + self.head_seconds)

    def verdict(self) -> TooSlow | None:
        """Return the error to answer with when the time is up; None if there is no request."""
        match self.awaiting:
            case Awaiting.HEAD:
                return TooSlow(
                    f"The request's head took more than {self.head_seconds:g} s: send it faster."
                )
            case Awaiting.BODY:
                rate = f"{MIN_BODY_RATE:g} bytes per second"
                return TooSlow(
                    f"The request's body stalled, or came at less than {rate}: send it faster."
                )
            case _:
                return None
