"""Where a file is continued: only as far back as the memory reaches, and only if that is
possible."""

from __future__ import annotations

import json
from fractions import Fraction

import pytest

from server.streams.continuity import LEAST_RISE, Continuity
from server.streams.place import Made, Place, begun_elsewhere, continued, place_of


def made(*seqs: int, first: int = -1, connection: int = 1) -> list[Made]:
    """Frames at 25/s that have masks; frame 0 is at 1 s, and ``first`` had an empty memory."""
    return [
        Made(
            seq=seq,
            at=1 + Fraction(seq, 25),
            shift=Fraction(10),
            due=None,
            connection=connection,
            scene=Fraction(1),
            is_first=seq == first,
        )
        for seq in seqs
    ]


def test_before_the_first_mask_there_is_no_place() -> None:
    assert place_of([], 3) is None


@pytest.mark.parametrize(
    ("frames", "horizon", "begin", "fills"),
    [
        (made(7, 8, 9), 3, 7, True),
        (made(7, 8, 9), 2, 8, True),
        (made(9), 0, 9, True),
        (made(0, 1, first=0), 3, 0, True),
        (made(5, 6, 7, 8, 9, first=8), 3, 8, True),
        (made(8, 9), 3, 9, False),
        (made(6, 8, 9), 3, 9, False),
        (made(7, 8) + made(9, connection=2), 3, 9, False),
        (made(7, 8, 9), None, 9, False),
    ],
    ids=[
        "as many frames as the memory holds",
        "a shorter memory",
        "a model without memory",
        "the stream's first frames",
        "since the memory was emptied",
        "too few are known",
        "one failed",
        "the file began anew and its memory was kept",
        "a model that never forgets",
    ],
)
def test_the_memory_is_filled_by_what_it_depends_on(
    frames: list[Made], horizon: int | None, begin: int, fills: bool
) -> None:
    place = place_of(frames, horizon)
    assert place is not None
    assert (place.seq, place.at) == (begin, 1 + Fraction(begin, 25))
    assert (place.sent, place.sent_at) == (frames[-1].seq, frames[-1].at)
    assert place.fills is fills


def test_pictures_are_looked_at_for_2_s_but_not_beyond_the_scene() -> None:
    late, early = place_of(made(98, 99), 2), place_of(made(8, 9), 2)
    assert late is not None and late.look == late.at - 2
    assert early is not None and early.look == 1


def test_a_place_survives_json() -> None:
    place = place_of(made(7, 8, 9), 3)
    assert place is not None
    assert Place.from_dict(json.loads(json.dumps(place.to_dict()))) == place
    limited = Place(
        1, Fraction(1, 3), Fraction(0), Fraction(2), Fraction(5, 7), 2, Fraction(1), True
    )
    assert Place.from_dict(json.loads(json.dumps(limited.to_dict()))) == limited


def test_what_another_version_wrote_is_no_place() -> None:
    place = place_of(made(7, 8, 9), 3)
    assert place is not None
    assert Place.from_dict(None) is None
    assert Place.from_dict(place.to_dict() | {"colour": 1}) is None
    assert Place.from_dict({"seq": 1}) is None


def test_the_stream_continues_at_the_place_or_behind_what_was_sent() -> None:
    place = Place(7, Fraction(2), Fraction(0), Fraction(10), Fraction(5), 9, Fraction(3), True)
    assert continued(place, 4) == Continuity(4, 6, shift=Fraction(10), due=Fraction(5))
    later = begun_elsewhere(place, 4, at=Fraction(4))
    assert later == Continuity(4, 9, shift=Fraction(10))
    anew = begun_elsewhere(place, 4, at=Fraction(0))
    assert anew == Continuity(4, 9, shift=13 + LEAST_RISE), "later than the last one, at 3 s"
