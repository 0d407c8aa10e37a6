"""The place of a playing file, at which another server, or this one after a restart, continues it.

The row of the stream has a recent place. The server that takes the stream reads the file from
there, fills the memory with the frames that it depends on, without masks, and repeats the masks
that were made since then: the same ones, with the same numbers. A camera has no place: its frames
are gone. Pure; times are seconds.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from fractions import Fraction
from typing import Any, Self

from server.streams.continuity import LEAST_RISE, Continuity

LOOK_SECONDS = Fraction(2)
"""Seconds of pictures before the first frame that are examined, since a scene cut depends on
them."""


@dataclass(frozen=True, slots=True)
class Made:
    """A frame that has its mask: its number, its time ``at`` in the file, the ``shift`` added to
    that, when a frame was ``due`` before it, its connection, and since when the ``scene`` had been
    followed. ``is_first``: the memory was empty."""

    seq: int
    at: Fraction
    shift: Fraction
    due: Fraction | None
    connection: int
    scene: Fraction
    is_first: bool = False


@dataclass(frozen=True, slots=True)
class Place:
    """The place at which a file is to be continued: after frame ``sent``, whose time in the file is
    ``sent_at``.

    Frames are numbered from ``seq`` on, which is at ``at``; pictures from ``look`` on are examined.
    ``fills``: the frames up to ``sent`` leave the memory as it was, so that masks equal those of an
    unbroken stream. ``shift`` and ``due`` are those of a Continuity.
    """

    seq: int
    at: Fraction
    look: Fraction
    shift: Fraction
    due: Fraction | None
    sent: int
    sent_at: Fraction
    fills: bool

    def to_dict(self) -> dict[str, Any]:
        """Return a JSON object."""
        exact = {
            name: str(value) for name, value in asdict(self).items() if isinstance(value, Fraction)
        }
        return asdict(self) | exact

    @classmethod
    def from_dict(cls, given: Mapping[str, Any] | None) -> Self | None:
        """Read the result of :meth:`to_dict`; None if there is none, or another version wrote
        it."""
        if given is None or given.keys() != cls.__dataclass_fields__.keys():
            return None
        exact = {name: Fraction(given[name]) for name in ("at", "look", "shift", "sent_at")}
        due = None if given["due"] is None else Fraction(given["due"])
        return cls(**{**given, **exact, "due": due})

    @property
    def warm_up(self) -> int:
        """Return how many frames fill the memory."""
        return self.sent - self.seq + 1


@dataclass(frozen=True, slots=True)
class Takeover:
    """The takeover of a stream: its cause (restart, given_back or expired), the epoch, and the
    place where to continue, None if it is not known."""

    cause: str
    epoch: int
    place: Place | None = None


def place_of(made: Sequence[Made], horizon: int | None) -> Place | None:
    """Return the place after the last frame that has its mask; None before the first. ``horizon``
    is the model's memory_horizon."""
    if not made:
        return None
    last, found = made[-1], _filling(made, horizon)
    first = found or last
    look = min(first.at, max(first.scene, first.at - LOOK_SECONDS))
    begin = first.seq, first.at, look, first.shift, first.due
    return Place(*begin, sent=last.seq, sent_at=last.at, fills=found is not None)


def continued(place: Place, connection: int) -> Continuity:
    """Return the continuity before the frame at the place."""
    return Continuity(connection, place.seq - 1, shift=place.shift, due=place.due)


def begun_elsewhere(place: Place, connection: int, at: Fraction) -> Continuity:
    """Return the continuity before a frame at another time in the file, which follows the last one
    that was sent: numbers and times rise, even if it is an earlier picture."""
    rising = place.sent_at + place.shift + LEAST_RISE - at
    return Continuity(connection, place.sent, shift=max(place.shift, rising))


def _filling(made: Sequence[Made], horizon: int | None) -> Made | None:
    """Return the first of the frames on which the memory depends after the last one, None if they
    cannot be read at once: a frame failed, or the file started again with its memory kept."""
    if horizon is None:
        return None
    last = made[-1]
    for count, one in enumerate(reversed(made)):
        if one.connection != last.connection or one.seq != last.seq - count:
            return None
        if one.is_first or count + 1 >= horizon:
            return one
    return None
