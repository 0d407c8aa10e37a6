"""A row has the definition, and the place of a file; neither replaces the other."""

from __future__ import annotations

from fractions import Fraction

from server.database.streams import HeldStream, TakenStream
from server.streams.definition import StreamDefinition
from server.streams.place import Place, Takeover
from server.streams.stored import placed, takeover_of

FILM = StreamDefinition("film", "file:///film.mp4")
PLACE = Place(
    7, Fraction(2), Fraction(0), Fraction(10), None, sent=9, sent_at=Fraction(3), fills=True
)


def test_what_is_stored_is_what_the_next_owner_gets() -> None:
    row = FILM.to_dict() | placed(FILM, PLACE)
    assert StreamDefinition.from_dict(row) == FILM
    taken = TakenStream(HeldStream("film", 4, 1.0), row, "expired")
    assert takeover_of(taken) == Takeover("expired", 4, PLACE)


def test_without_a_place_the_earlier_one_is_forgotten() -> None:
    row = FILM.to_dict() | placed(FILM, PLACE) | placed(FILM, None)
    taken = TakenStream(HeldStream("film", 1, 1.0), row, "restart")
    assert takeover_of(taken).place is None


def test_a_camera_has_no_place() -> None:
    assert placed(StreamDefinition("cam", "rtsp://camera/path"), None) == {}
