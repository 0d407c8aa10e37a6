"""Sessions that wait to be resumed: how long, how many, and which must make room for another.

It decides without acting: it has no clock and closes nothing, but returns the sessions to close.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Generic, TypeVar

Parked = TypeVar("Parked")


@dataclass(frozen=True, slots=True)
class _Place(Generic[Parked]):
    parked: Parked
    nbytes: int
    deadline: float


class ParkingLot(Generic[Parked]):
    """The sessions that wait to be resumed, by token, oldest first.

    Each waits for ``seconds``. There are at most ``most`` of them, and they hold at most
    ``most_bytes``; beyond that the oldest make room.
    """

    def __init__(self, *, seconds: float, most: int, most_bytes: int) -> None:
        self._seconds = seconds
        self._most = most
        self._most_bytes = most_bytes
        self._places: dict[str, _Place[Parked]] = {}

    def __repr__(self) -> str:
        return f"<ParkingLot {len(self)} of {self._most}, {self.nbytes} bytes>"

    def __len__(self) -> int:
        return len(self._places)

    @property
    def nbytes(self) -> int:
        """Return how many bytes all waiting sessions hold."""
        return sum(place.nbytes for place in self._places.values())

    def put(self, token: str, parked: Parked, nbytes: int, now: float) -> list[Parked]:
        """Let a session wait; return those that must be closed: itself too, if it is too large."""
        gone = self.expire(now)
        self._places[token] = _Place(parked, nbytes, now + self._seconds)
        while len(self) > self._most or self.nbytes > self._most_bytes:
            gone += self.take_oldest()
        return gone

    def take(self, token: str, now: float) -> Parked | None:
        """Remove and return the session with a token; None if there is none or its time is up."""
        place = self._places.get(token)
        if place is None or place.deadline <= now:
            return None
        return self._places.pop(token).parked

    def take_oldest(self) -> list[Parked]:
        """Remove and return the session that has waited for the longest, if any."""
        oldest = next(iter(self._places), None)
        return [] if oldest is None else [self._places.pop(oldest).parked]

    def expire(self, now: float) -> list[Parked]:
        """Remove and return the sessions whose time is up."""
        over = [token for token, place in self._places.items() if place.deadline <= now]
        return [self._places.pop(token).parked for token in over]
