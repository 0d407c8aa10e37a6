"""Which clients are admitted, and the errors of the others."""

from __future__ import annotations

import pytest

from server.admission import MAX_CLIENTS, Limit, Pace, Places, Rate
from server.errors import NoCapacity, TooMany


def test_a_client_at_its_limit_is_refused_with_429_and_the_numbers() -> None:
    with pytest.raises(TooMany) as refused:
        Limit("sessions", each=2, total=9).check(own=2, taken=5)
    problem = refused.value.problem()
    assert (problem["status"], problem["used"], problem["limit"]) == (429, 2, 2)
    assert problem["detail"].startswith("You have 2 sessions and may have 2: ")


def test_all_at_their_limit_are_refused_with_503_and_the_numbers() -> None:
    with pytest.raises(NoCapacity) as refused:
        Limit("sessions", each=2, total=9).check(own=1, taken=9)
    problem = refused.value.problem()
    assert (problem["status"], problem["used"], problem["limit"]) == (503, 9, 9)


def test_without_limits_everybody_is_admitted() -> None:
    Limit("sessions").check(own=10**6, taken=10**6)


def test_a_place_is_given_back_whatever_happens() -> None:
    places = Places(Limit("uploads", each=1))
    with pytest.raises(OSError), places.take("a"):
        assert (places.used, places.used_by("a")) == (1, 1)
        with pytest.raises(TooMany):
            places.check("a")
        places.check("b")
        raise OSError
    assert (places.used, places.used_by("a")) == (0, 0)
    places.check("a")


def test_a_rate_is_of_each_client() -> None:
    rate = Rate("pixels", each=100)
    rate.spend("a", 80, now=0.0)
    with pytest.raises(TooMany, match="You may send 100 pixels per second"):
        rate.spend("a", 80, now=0.1)
    rate.spend("b", 80, now=0.1)
    rate.spend("a", 80, now=0.6)


def test_what_is_refused_is_not_spent() -> None:
    rate = Rate("pixels", each=100)
    rate.spend("a", 100, now=0.0)
    for _ in range(50):
        with pytest.raises(TooMany):
            rate.spend("a", 60, now=0.5)
    rate.spend("a", 60, now=0.61)


def test_a_total_rate_is_of_all_together() -> None:
    rate = Rate("pixels", total=100)
    rate.spend("a", 80, now=0.0)
    with pytest.raises(NoCapacity, match="All clients together"):
        rate.spend("b", 80, now=0.0)


def test_a_picture_above_the_rate_is_admitted_once_it_was_earned() -> None:
    rate = Rate("pixels", each=100)
    rate.spend("a", 250, now=0.0)
    with pytest.raises(TooMany):
        rate.spend("a", 250, now=1.0)
    rate.spend("a", 250, now=2.5)


def test_strangers_are_forgotten() -> None:
    rate = Rate("pixels", each=100)
    for number in range(MAX_CLIENTS + 5):
        rate.spend(str(number), 1, now=0.0)
    assert len(rate._left) == MAX_CLIENTS


def test_a_client_that_sends_too_much_is_read_later_and_others_are_not() -> None:
    pace = Pace(each=100)
    assert pace.spend("a", 100, now=0.0) == 0
    assert pace.spend("a", 50, now=0.0) == pytest.approx(0.5)
    assert pace.spend("a", 0, now=0.25) == pytest.approx(0.25)
    assert pace.spend("a", 0, now=0.5) == 0
    assert pace.spend("b", 100, now=0.0) == 0
    assert Pace().spend("a", 10**9, now=0.0) == 0
