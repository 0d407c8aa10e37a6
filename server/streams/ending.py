"""How a stream socket ends: a last message, a close code and its stable code word."""

from __future__ import annotations

from dataclasses import dataclass

import protocol
from protocol import CloseCode, ProtocolError
from server.cluster.membership import socket_url
from server.errors import Elsewhere, Fault, MastreamError, NoCapacity
from server.streams.outbox import failure

RECONNECT_MS = 1000
"""Milliseconds after which clients should reconnect after ``going_away``: the next server needs a
moment to start."""

_BAD_INPUT = 400
_TOO_LARGE = 413


@dataclass(frozen=True, slots=True)
class Ending:
    """A stream's last message, and the close code and reason that follow it."""

    close: int
    reason: str
    message: protocol.End | protocol.GoingAway | protocol.Failure


ENDED = Ending(CloseCode.NORMAL, "end", protocol.End())


def going_away(taken: int | None = None, url: str | None = None) -> Ending:
    """Return the ending of a stream when the server stops or is full.

    ``taken`` is the last seq that was read; ``url`` is the socket of a server that has room, to
    which clients can connect at once.
    """
    message = protocol.GoingAway(RECONNECT_MS if url is None else 0, taken, url)
    return Ending(CloseCode.RESTART, "going_away", message)


def refusal(error: MastreamError | ProtocolError, elsewhere: str | None) -> Ending:
    """Return the ending of a socket that gets no session; ``elsewhere`` is a socket where it may
    get one."""
    is_full = isinstance(error, NoCapacity) and elsewhere is not None
    return going_away(url=elsewhere) if is_full else ending_of(error)


class EndStream(Exception):
    """Read no more from this client; once all its frames are answered, send ``last``."""

    def __init__(self, last: Ending) -> None:
        super().__init__(last.reason)
        self.last = last


def ending_of(error: Exception, seq: int | None = None, path: str = "") -> Ending:
    """Return the ending of a stream by an error; ``seq`` is the frame that it answers, if any, and
    ``path`` is the socket's, which is the same on the server that Elsewhere names."""
    if isinstance(error, Elsewhere):
        return going_away(url=socket_url(error.url, path))
    if isinstance(error, ProtocolError):
        status = _TOO_LARGE if error.close == CloseCode.TOO_BIG else _BAD_INPUT
        message = protocol.Failure(error.code, str(error), status, seq=seq, fatal=True)
        return Ending(error.close, error.code, message)
    kind = type(error) if isinstance(error, MastreamError) else Fault
    return Ending(kind.close, kind.code, failure(error, seq, fatal=True))
