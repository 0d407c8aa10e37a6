"""How long a socket's client may be silent, or may not read. Pure: time is passed in."""

from __future__ import annotations

from server.errors import TooSlow


class Timeouts:
    """Notices a client that sends nothing for ``idle`` seconds, or reads nothing for ``slow``.

    Mutable state: when the client was last active, and since when a message is being sent to it.
    """

    def __init__(self, idle: float, slow: float, now: float) -> None:
        self._idle = idle
        self._slow = slow
        self.alive = now
        self._sending: float | None = None

    @property
    def interval(self) -> float:
        """Return how often to check, in seconds."""
        return min(1.0, self._idle / 4, self._slow / 4)

    def begin_to_send(self, now: float) -> None:
        self._sending = now

    def sent(self) -> None:
        self._sending = None

    def check(self, now: float, is_owed: bool) -> None:
        """Raise TooSlow if the client has not read, or not sent anything, for too long.

        A client that ``is_owed`` answers may be silent.
        """
        if self._sending is not None and now - self._sending > self._slow:
            raise TooSlow(f"Nothing was read for {self._slow:g} s; read faster, or request less.")
        if is_owed:
            self.alive = now
        if now - self.alive > self._idle:
            words = f"Nothing was sent for {self._idle:g} s; connect again when there is more."
            raise TooSlow(words)

    def left(self, now: float) -> float:
        """Return the seconds that a client which does not read still has, at least 0."""
        since = now if self._sending is None else self._sending
        return max(0.0, self._slow - (now - since))
