"""The error that bytes from the network can raise, and the close codes of a stream socket."""

from __future__ import annotations

from enum import IntEnum


class CloseCode(IntEnum):
    """Why a stream socket was closed. The close reason carries a stable code word."""

    NORMAL = 1000
    GOING_AWAY = 1001
    BAD_TEXT = 1007
    TOO_BIG = 1009
    FAULT = 1011
    RESTART = 1012
    TRY_LATER = 1013
    BAD_MESSAGE = 4400
    UNAUTHENTICATED = 4401
    FORBIDDEN = 4403
    NOT_FOUND = 4404
    TOO_SLOW = 4408
    TAKEN_OVER = 4409
    OVER_LIMIT = 4413
    OUT_OF_SEQUENCE = 4422
    OVER_QUOTA = 4429
    NO_CAPACITY = 4503


class ProtocolError(ValueError):
    """Bytes that are not a message of this protocol; one sentence says what is wrong.

    ``code`` is the stable word of the close reason, ``close`` the code to close with.
    """

    def __init__(
        self,
        message: str,
        code: str = "bad_message",
        close: CloseCode = CloseCode.BAD_MESSAGE,
    ) -> None:
        super().__init__(message)
        self.code = code
        self.close = close


def too_big(message: str) -> ProtocolError:
    return ProtocolError(message, "too_large", CloseCode.TOO_BIG)


def bad_field(message: str) -> ProtocolError:
    return ProtocolError(message, "bad_request", CloseCode.BAD_MESSAGE)
