"""When a lost stream connects again, and what is reported to its user. Pure: time is passed in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from clients.python.errors import ClientError, GoneAway, NoCapacity, ServerFault, Unreachable
from protocol import MemoryState, Ready

_PASSING = (Unreachable, GoneAway, NoCapacity, ServerFault)
"""Transient errors of a new connection: the server, or a proxy in front of it, is starting."""


@dataclass(frozen=True, slots=True)
class Backoff:
    """Seconds to wait before each attempt to connect: ``first``, doubled up to ``longest``, then
    shortened at random by up to a half. ``give_up`` is how long a stream may be without an
    answer."""

    first: float = 1.0
    longest: float = 30.0
    give_up: float = 60.0

    def delay(self, attempt: int, chance: float) -> float:
        """Return the wait before this attempt, counted from 0; ``chance`` lies in 0..1."""
        doubled = min(self.longest, self.first * 2.0 ** min(attempt, 32))
        return doubled * (1 - chance / 2)


@dataclass(frozen=True, slots=True)
class Lost:
    """The connection was lost, or could not be made: the next attempt follows in ``retry_in``
    seconds."""

    error: ClientError
    attempt: int
    retry_in: float


@dataclass(frozen=True, slots=True)
class Resumed:
    """The stream continues, ``after`` seconds without a connection.

    ``memory`` is INTACT, or REBUILT by the server or by frames that are sent again: then all masks
    equal those of an unbroken stream. COLD: the memory starts empty.
    """

    memory: MemoryState
    after: float


Event = Lost | Resumed
OnEvent = Callable[[Event], None]


def may_resume(error: ClientError) -> bool:
    """Return whether a stream whose connection ended with this error can be continued: the server
    is stopping, or has given no reason."""
    return isinstance(error, GoneAway) or (isinstance(error, Unreachable) and not error.code)


def may_pass(error: ClientError) -> bool:
    """Return whether it is worth connecting again after an attempt that failed like this."""
    return isinstance(error, _PASSING)


def wait(error: ClientError, backoff: Backoff, attempt: int, chance: float) -> float:
    """Return the seconds until the next attempt; a server that is stopping says how long it
    needs."""
    asked = error.reconnect_after if isinstance(error, GoneAway) else 0.0
    return max(asked, backoff.delay(attempt, chance))


def check_same_model(before: Ready, now: Ready) -> None:
    """Raise a ClientError if the server's model has changed."""
    names = ("name", "fingerprint", "classes", "height", "width")
    if any(before.model.get(name) != now.model.get(name) for name in names):
        raise ClientError("The server's model is not the same as before; open a new stream.")
