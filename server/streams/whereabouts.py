"""The places of all pulled streams when they were last read: here, on another server, or free."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Literal, get_args

from server.cluster.history import Condition, History
from server.cluster.membership import Membership
from server.cluster.placement import FreeStream
from server.database.streams import StreamPlace
from server.errors import Elsewhere, NoCapacity

State = Literal["held", "elsewhere", "free"]
STATES: tuple[State, ...] = get_args(State)


class Whereabouts:
    """Answers from the rows as last read; ``holds`` says whether this server may act for a stream
    now.

    Mutable state: the places, their changes, and whether the database was away at the last read, or
    since when it has answered again.
    """

    def __init__(self, membership: Membership, holds: Callable[[str], bool]) -> None:
        self._membership = membership
        self._holds = holds
        self.history = History("stream", "removed")
        self._places: dict[str, StreamPlace] = {}
        self._is_away = False
        self._answers_since = -math.inf

    def __repr__(self) -> str:
        return f"<Whereabouts of {len(self._places)} streams>"

    @property
    def places(self) -> list[StreamPlace]:
        """Return the places of all streams."""
        return list(self._places.values())

    def read(self, places: list[StreamPlace], now: float) -> None:
        """Record the places of all streams, as just read."""
        if self._is_away:
            self._is_away, self._answers_since = False, now
        self._places = {one.name: one for one in places}
        self.history.look({one.name: self._condition(one) for one in places})

    def note(self, place: StreamPlace) -> None:
        """Record the place of a stream that this server has just added."""
        self._places[place.name] = place

    def forget(self, name: str) -> None:
        """Forget a stream that was removed. Idempotent."""
        self._places.pop(name, None)

    def note_away(self) -> None:
        """Record that the places could not be read."""
        self._is_away = True

    def answers_for(self, now: float) -> float:
        """Return for how many seconds the database has answered again."""
        return now - self._answers_since

    def free(self) -> list[FreeStream]:
        """Return the free streams."""
        free = (one for one in self._places.values() if one.is_free)
        return [FreeStream(one.name, -one.lasts, one.server) for one in free]

    def count(self, state: State) -> int:
        """Return how many streams are in this state."""
        if state == "elsewhere":
            return len(self.elsewhere())
        return sum(self.state(one) == state for one in self._places.values())

    def state(self, place: StreamPlace) -> State:
        """Return whether a stream is ``held`` by this server, ``elsewhere`` or ``free``."""
        if self._holds(place.name):
            return "held"
        return "free" if place.is_free else "elsewhere"

    def cause(self, name: str) -> str:
        """Return why this server takes a stream, one of ownership.CAUSES."""
        server = self._places[name].server
        if server is None:
            return "given_back"
        return "restart" if server == self._membership.name else "expired"

    def elsewhere(self) -> list[tuple[StreamPlace, str | None]]:
        """Return the streams that other servers have, with their address."""
        mine = self._membership.name
        others = (one for one in self._places.values() if self.state(one) == "elsewhere")
        return [(one, self._membership.url_of(one.server)) for one in others if one.server != mine]

    def check_elsewhere(self, name: str, may_see: Callable[[str], bool]) -> None:
        """Raise Elsewhere if another server has a stream whose key ``may_see`` accepts, and
        NoCapacity if no server has it yet, or its address is not known."""
        place = self._places.get(name)
        if place is None or self._holds(name) or not may_see(place.key):
            return
        mine = place.server == self._membership.name
        url = None if place.is_free or mine else self._membership.url_of(place.server)
        if url is None:
            raise NoCapacity(f"Another server will pull {name}: try again in a moment.")
        raise Elsewhere(f"Another server pulls {name}: ask {url}.", url)

    def _condition(self, place: StreamPlace) -> Condition:
        is_free = self.state(place) == "free"
        return Condition("free") if is_free else Condition("held", place.server)
