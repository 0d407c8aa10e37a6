"""Every error that the client raises.

    ClientError
    |-- Unreachable       nothing answers at the address, or the connection was lost
    |-- NotOurs           the server does not speak mastream's protocol
    |-- Refused           the server refused the request; trying again would not help
    |   |-- NotFound      no such model, stream or video
    |   |-- Denied        the key is missing or not accepted
    |   |-- TooLarge      over one of the server's limits
    |   `-- TakenOver     a newer connection has this session
    |-- NoCapacity        the server is full; try again later
    |-- GoneAway          the server is stopping or restarting; try again later
    |-- TooSlow           this client was idle, or did not read its answers
    |-- ServerFault       a fault of the server
    |-- VideoFailed       an uploaded video could not be segmented, or was cancelled
    |-- BadFootage        a local video, picture or camera cannot be read
    `-- BadOutput         a file or folder cannot be written

Each message is one sentence for the user. ``code`` is the server's stable code word, "" if the
error did not come from the server.
"""

from __future__ import annotations

from protocol import CloseCode


class ClientError(Exception):
    """The base class of all errors of the client."""

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
    """``reconnect_after`` is in seconds, 0 if the server gave no time.

    ``taken`` is the seq of the last frame that the server took and answered; None if it took none
    or did not say. ``url`` is the socket of a server that has room, None if none was named.
    """

    def __init__(
        self,
        message: str,
        code: str = "",
        reconnect_after: float = 0.0,
        taken: int | None = None,
        url: str | None = None,
    ) -> None:
        super().__init__(message, code)
        self.reconnect_after = reconnect_after
        self.taken = taken
        self.url = url


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
    """Return the error for an HTTP status."""
    kind = _BY_STATUS.get(status, ServerFault if status >= 500 else Refused)
    if kind is TakenOver and code != "taken_over":  # a name, a key or a number is not free
        kind = Refused
    return kind(detail or f"The server answered with status {status}.", code)


def of_close(close: int | None, reason: str, detail: str = "") -> ClientError:
    """Return the error for a WebSocket close; ``detail`` is that of a preceding ``error``.

    ``reason`` is a stable word, which a sentence may follow: ``too_large: over 2 MB``.
    """
    word, _, sentence = reason.partition(": ")
    kind = _BY_CLOSE.get(close or 0, Unreachable)
    message = detail or sentence
    if kind is Unreachable:
        return Unreachable(message or "The connection to the server was lost.", word)
    return kind(message or f"The server closed the stream: {word or close}.", word)
