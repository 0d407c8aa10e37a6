"""A row has the definition, and the place of a file, which older versions ignore."""

from __future__ import annotations

from fractions import Fraction

from server.database.streams import HeldStream, TakenStream
from server.streams.definition import StreamDefinition
from server.streams.place import Place, Takeover
from server.streams.stored import stored, takeover_of

FILM = StreamDefinition("film", "file:///film.mp4")
PLACE = Place(
    7, Fraction(2), Fraction(0), Fraction(10), None, sent=9, sent_at=Fraction(3), fills=True
)


def test_what_is_stored_is_what_the_next_owner_gets() -> None:
    row = stored(FILM, PLACE)
    assert StreamDefinition.from_dict(row) == FILM
    taken = TakenStream(HeldStream("film", 4, 1.0), row, "expired")
    assert takeover_of(taken) == Takeover("expired", 4, PLACE)


def test_without_a_place_only_the_definition_is_stored() -> None:
    assert stored(FILM, None) == FILM.to_dict()
    taken = TakenStream(HeldStream("film", 1, 1.0), stored(FILM, None), "restart")
    assert takeover_of(taken).place is None
