"""How a stream socket ends: a last message, a close code and its stable word."""

from __future__ import annotations

from dataclasses import dataclass

import protocol
from protocol import CloseCode, ProtocolError
from server.errors import Fault, MastreamError
from server.streams.outbox import failure

RECONNECT_MS = 1000
"""When to come back to a server that is going away: its successor needs a moment."""

_BAD_INPUT = 400
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Ending:
    """``reason`` is the close frame's reason; ``message`` is sent before it."""

    close: int
    reason: str
    message: protocol.End | protocol.GoingAway | protocol.Failure


ENDED = Ending(CloseCode.NORMAL, "end", protocol.End())
GOING_AWAY = Ending(CloseCode.RESTART, "going_away", protocol.GoingAway(RECONNECT_MS))


class EndStream(Exception):
    """Read no further from this client; when it has its answers, say this."""

    def __init__(self, last: Ending) -> None:
        super().__init__(last.reason)
        self.last = last


def ending_of(error: Exception, seq: int | None = None) -> Ending:
    """The end that an error makes of a stream; ``seq`` is the frame it answers, if any."""
    if isinstance(error, ProtocolError):
        status = _TOO_LARGE if error.close == CloseCode.TOO_BIG else _BAD_INPUT
        told = protocol.Failure(error.code, str(error), status, seq=seq, fatal=True)
        return Ending(error.close, error.code, told)
    ours = error if isinstance(error, MastreamError) else Fault("the server failed")
    return Ending(ours.close, ours.code, failure(error, seq, fatal=True))
