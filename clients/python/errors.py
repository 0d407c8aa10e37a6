"""Every error a client can meet.

    ClientError
    |-- Unreachable       nobody answers there, or the connection was lost
    |-- NotOurs           what answers does not speak mastream's protocol
    |-- Refused           the server said no, and would again
    |   |-- NotFound      no such model, stream or video
    |   |-- Denied        no key, or not this one
    |   |-- TooLarge      over one of the server's limits
    |   `-- TakenOver     a newer connection has this session
    |-- NoCapacity        the server is full; come back
    |-- GoneAway          the server is stopping or restarting; come back
    |-- TooSlow           we were idle, or did not read what we were sent
    |-- ServerFault       the server's own fault
    |-- VideoFailed       an uploaded video could not be segmented, or was cancelled
    |-- BadFootage        a local video, picture or camera that cannot be read
    `-- BadOutput         a file or folder that cannot be written

Each message is one sentence for the user. ``code`` is the server's stable word, "" where the
server had no say.
"""

from __future__ import annotations

from protocol import CloseCode


class ClientError(Exception):
    """Base of all."""

    def __init__(self, message: str, code: str = "") -> None:
        super().__init__(message)
        self.code = code


class Unreachable(ClientError):
    pass


class NotOurs(ClientError):
    pass


class Refused(ClientError):
    pass


class NotFound(Refused):
    pass


class Denied(Refused):
    pass


class TooLarge(Refused):
    pass


class TakenOver(Refused):
    pass


class NoCapacity(ClientError):
    pass


class GoneAway(ClientError):
    """``reconnect_after`` is in seconds, 0 where the server did not say."""

    def __init__(self, message: str, code: str = "", reconnect_after: float = 0.0) -> None:
        super().__init__(message, code)
        self.reconnect_after = reconnect_after


class TooSlow(ClientError):
    pass


class ServerFault(ClientError):
    pass


class VideoFailed(ClientError):
    pass


class BadFootage(ClientError):
    pass


class BadOutput(ClientError):
    pass


_BY_STATUS: dict[int, type[ClientError]] = {
    401: Denied,
    403: Denied,
    404: NotFound,
    408: TooSlow,
    409: TakenOver,
    413: TooLarge,
    429: NoCapacity,
    503: NoCapacity,
}

_BY_CLOSE: dict[int, type[ClientError]] = {
    CloseCode.GOING_AWAY: GoneAway,
    CloseCode.RESTART: GoneAway,
    CloseCode.TRY_LATER: NoCapacity,
    CloseCode.FAULT: ServerFault,
    CloseCode.TOO_BIG: TooLarge,
    CloseCode.BAD_TEXT: Refused,
    CloseCode.BAD_MESSAGE: Refused,
    CloseCode.UNAUTHENTICATED: Denied,
    CloseCode.FORBIDDEN: Denied,
    CloseCode.NOT_FOUND: NotFound,
    CloseCode.TOO_SLOW: TooSlow,
    CloseCode.TAKEN_OVER: TakenOver,
    CloseCode.OVER_LIMIT: TooLarge,
    CloseCode.OUT_OF_SEQUENCE: Refused,
    CloseCode.OVER_QUOTA: NoCapacity,
    CloseCode.NO_CAPACITY: NoCapacity,
}


def of_status(status: int, detail: str, code: str = "") -> ClientError:
    """The error that an HTTP status means."""
    kind = _BY_STATUS.get(status, ServerFault if status >= 500 else Refused)
    return kind(detail or f"the server answered {status}", code)


def of_close(close: int | None, reason: str, detail: str = "") -> ClientError:
    """The error that a WebSocket close means; ``detail`` is what a last ``error`` said.

    ``reason`` is a stable word, which a sentence may follow: ``too_large: over 2 MB``.
    """
    word, _, sentence = reason.partition(": ")
    kind = _BY_CLOSE.get(close or 0, Unreachable)
    said = detail or sentence
    if kind is Unreachable:
        return Unreachable(said or "the connection to the server was lost", word)
    return kind(said or f"the server closed the stream: {word or close}", word)
