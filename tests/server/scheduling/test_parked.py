"""ParkingLot: which sessions wait, for how long, and which are closed first."""

from __future__ import annotations

import pytest

from server.scheduling.parked import ParkingLot


def lot(most: int = 3, most_bytes: int = 100) -> ParkingLot[str]:
    return ParkingLot(seconds=10, most=most, most_bytes=most_bytes)


@pytest.mark.parametrize(
    ("now", "token", "found"),
    [
        (0.0, "a", "A"),
        (9.99, "a", "A"),
        (10.0, "a", None),
        (50.0, "a", None),
        (0.0, "b", None),
        (0.0, "", None),
    ],
)
def test_a_token_finds_what_waits_until_its_time_is_up(
    now: float, token: str, found: str | None
) -> None:
    parked = lot()
    assert parked.put("a", "A", 1, now=0.0) == []
    assert parked.take(token, now) == found
    assert len(parked) == (0 if found else 1)


def test_a_token_finds_it_once() -> None:
    parked = lot()
    parked.put("a", "A", 1, now=0.0)
    assert [parked.take("a", 1.0), parked.take("a", 1.0)] == ["A", None]
    assert parked.nbytes == 0


@pytest.mark.parametrize(
    ("sizes", "gone"),
    [
        ((1, 1, 1), []),
        ((1, 1, 1, 1), ["0"]),
        ((1, 1, 1, 1, 1), ["0", "1"]),
        ((60, 40, 0), []),
        ((60, 40, 1), ["0"]),
        ((10, 10, 95), ["0", "1"]),
        ((10, 101), ["0", "1"]),
        ((101, 10), ["0"]),
    ],
)
def test_the_oldest_go_if_there_are_too_many_or_they_hold_too_much(
    sizes: tuple[int, ...], gone: list[str]
) -> None:
    parked = lot()
    left = [one for i, size in enumerate(sizes) for one in parked.put(str(i), str(i), size, 0.0)]
    assert left == gone
    assert parked.nbytes == sum(size for i, size in enumerate(sizes) if str(i) not in gone)


def test_those_whose_time_is_up_are_returned_to_be_closed() -> None:
    parked = lot()
    parked.put("a", "A", 1, now=0.0)
    parked.put("b", "B", 1, now=5.0)
    assert parked.expire(9.0) == []
    assert parked.expire(10.0) == ["A"]
    assert parked.put("c", "C", 1, now=15.0) == ["B"]
    assert repr(parked) == "<ParkingLot 1 of 3, 1 bytes>"


def test_the_oldest_can_be_taken_to_make_room() -> None:
    parked = lot()
    assert parked.take_oldest() == []
    parked.put("a", "A", 1, now=0.0)
    parked.put("b", "B", 1, now=0.0)
    assert [parked.take_oldest(), parked.take_oldest(), parked.take_oldest()] == [["A"], ["B"], []]
