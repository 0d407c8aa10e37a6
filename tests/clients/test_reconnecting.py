"""When a stream connects again."""

from __future__ import annotations

import pytest

from clients.python.errors import (
    ClientError,
    GoneAway,
    NoCapacity,
    NotFound,
    NotOurs,
    ServerFault,
    TakenOver,
    TooSlow,
    Unreachable,
)
from clients.python.reconnecting import Backoff, check_same_model, may_pass, may_resume, wait
from protocol import Limits, Ready


@pytest.mark.parametrize(
    ("attempt", "chance", "seconds"),
    [
        (0, 0.0, 1.0),
        (0, 1.0, 0.5),
        (1, 0.0, 2.0),
        (2, 0.5, 3.0),
        (4, 0, 16),
        (5, 0, 30),
        (99, 1, 15),
    ],
)
def test_the_wait_doubles_up_to_the_longest_less_up_to_a_half(
    attempt: int, chance: float, seconds: float
) -> None:
    assert Backoff().delay(attempt, chance) == seconds


def test_a_server_that_stops_says_how_long_it_needs() -> None:
    assert wait(GoneAway("It stops.", "", 5.0), Backoff(), 0, 0.0) == 5.0
    assert wait(GoneAway("It stops.", "", 0.1), Backoff(), 0, 0.0) == 1.0
    assert wait(Unreachable("Gone."), Backoff(), 3, 1.0) == 4.0


@pytest.mark.parametrize(
    ("error", "resumes", "passes"),
    [
        (Unreachable("The connection was lost."), True, True),
        (Unreachable("The server says so.", "news"), False, True),
        (GoneAway("It stops."), True, True),
        (NoCapacity("Full."), False, True),
        (ServerFault("A proxy says 502."), False, True),
        (TakenOver("Elsewhere."), False, False),
        (TooSlow("Idle."), False, False),
        (NotFound("No model."), False, False),
        (NotOurs("A web page."), False, False),
    ],
)
def test_which_errors_are_worth_another_attempt(
    error: ClientError, resumes: bool, passes: bool
) -> None:
    assert (may_resume(error), may_pass(error)) == (resumes, passes)


def ready(**model: object) -> Ready:
    classes = [{"name": "sky", "colour": [0, 0, 255]}]
    return Ready("s", {"name": "m", "classes": classes, **model}, Limits(1000), 4)


def test_another_model_cannot_continue_a_stream() -> None:
    check_same_model(ready(fingerprint="a"), ready(fingerprint="a", precision="fp16"))
    for other in (ready(fingerprint="b"), ready(fingerprint="a", name="n")):
        with pytest.raises(ClientError, match="not the same as before"):
            check_same_model(ready(fingerprint="a"), other)
