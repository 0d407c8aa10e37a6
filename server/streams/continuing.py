"""A file that was taken over continues at its place, which is searched, reached, or given up."""

from __future__ import annotations

from fractions import Fraction

from protocol import MemoryState
from server.streams.continuity import Continuity
from server.streams.place import Place, Takeover, begun_elsewhere, continued

SEARCHES = 2
"""How many connections search for the place at which a file is to be continued."""

NOWHERE = Fraction(-1)
"""A time before the first picture of a file."""


class Continuing:
    """Finds the picture with which a file continues.

    Frames up to the last one that the earlier owner sent get no mask again: they fill the memory,
    if all of them are available. If SEARCHES connections have not found the place, the file is
    played from its beginning, with an empty memory.

    Mutable state: the place while it is sought, and then until there is a new mask; the connections
    that have searched for it, and the one that has reached it; whether the file is to be played
    from its beginning; the state of the memory.
    """

    def __init__(self, takeover: Takeover | None) -> None:
        self.memory = _memory_after(takeover)
        self.sent = -1
        """The last frame that the earlier owner sent."""
        self._sought = None if takeover is None else takeover.place
        self._reached: Place | None = None
        self._searches: set[int] = set()
        self._reached_by = 0
        self._fills_to = NOWHERE
        self._is_given_up = False
        self._has_begun = False

    def __repr__(self) -> str:
        return f"<Continuing {self.memory.value} after {self.sent}>"

    @property
    def place(self) -> Place | None:
        """Return the earlier owner's place until this server has made a mask."""
        return None if self._is_given_up else self._sought or self._reached

    def start_of(self, connection: int) -> Fraction | None:
        """Return the time from which a connection reads the file, None for its beginning."""
        return self.place.look if self.place is not None and connection == 1 else None

    def hurries(self, connection: int, at: Fraction) -> bool:
        """Return whether a picture at a time in the file is only examined, or only fills the
        memory: then it is read as soon as possible rather than when it is due."""
        if self._sought is not None:
            return at <= self._sought.sent_at and not self._is_given_up_by(connection)
        return connection == self._reached_by and at <= self._fills_to

    def has_broken_off(self, connection: int, seq: int) -> bool:
        """Return whether an earlier connection had reached the place, but has ended before the
        frames up to the last one that was sent, of which ``seq`` was the last one."""
        return self._reached is not None and connection != self._reached_by and seq < self.sent

    def search_again(self) -> None:
        """Search for the place again after it was reached."""
        self._sought, self._reached = self._reached, None

    def follow(self, before: Continuity, connection: int, at: Fraction) -> Continuity | None:
        """Return the continuity before the picture at a time in the file, None if the file does not
        continue with it."""
        place = self._sought
        if place is None:
            return before
        self._searches.add(connection)
        is_there = at == place.at and not self._is_given_up
        if not is_there and at <= place.sent_at and not self._is_given_up_by(connection):
            return None
        self._sought, self._reached, self._reached_by = None, place, connection
        self.sent = place.sent
        self._fills_to = place.sent_at if is_there else NOWHERE
        if not is_there or not place.fills:
            self.memory = MemoryState.COLD
        return continued(place, connection) if is_there else begun_elsewhere(place, connection, at)

    @property
    def is_cold(self) -> bool:
        """Return whether frames that were already sent are useless for the memory."""
        return self.memory is MemoryState.COLD

    def begins(self) -> bool:
        """Record that a frame will get a mask; return whether it is the first one."""
        is_first, self._has_begun = not self._has_begun, True
        return is_first

    def made(self, seq: int) -> None:
        """Record that a frame has its mask."""
        if seq > self.sent:
            self._reached = None

    def begin_anew(self) -> None:
        """Give the place up: the file is played from its beginning."""
        self._sought, self._reached, self._is_given_up = self._sought or self._reached, None, True
        if self._sought is not None:
            self._has_begun = False

    def _is_given_up_by(self, connection: int) -> bool:
        return self._is_given_up or len(self._searches | {connection}) > SEARCHES


def _memory_after(takeover: Takeover | None) -> MemoryState:
    """Return the expected state of a stream's memory when it starts."""
    if takeover is None:
        return MemoryState.NEW
    is_known = takeover.place is not None and takeover.place.fills
    return MemoryState.REBUILT if is_known else MemoryState.COLD
