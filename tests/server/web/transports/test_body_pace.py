"""To whom the bytes of bodies are charged, and when more of them may be read."""

from __future__ import annotations

from typing import Any

import pytest

from server.fair_pace import LATE_SECONDS, FairPace, body_cost
from server.security.callers import ANYONE, Caller, Role
from server.web.access.auth import sender_of
from server.web.transports.body_pace import BodyPace

BEAT = 0.02


def scope(address: str, key: str | None = None) -> dict[str, Any]:
    state = {} if key is None else {"caller": Caller(key, Role.SEGMENT)}
    return {"client": (address, 5000), "state": state}


def run_late(fair: FairPace, bodies: dict[BodyPace, dict[str, Any]], size: int) -> float:
    """Let each connection send so many bytes per beat of a loop that is late; return the time."""
    now = 0.0
    while now < 1.0:
        for body, sent in bodies.items():
            body.came(size, sent, now)
        fair.spend("modest", 1e-4, now)
        fair.observe(2 * LATE_SECONDS, now)
        now += BEAT
    return now


def test_bytes_are_charged_to_the_key_or_else_to_the_address() -> None:
    assert sender_of(scope("192.0.2.1", "office")) == "office"
    assert sender_of(scope("192.0.2.1")) == "192.0.2.1"
    assert sender_of({"client": ("192.0.2.1", 1), "state": {"caller": ANYONE}}) == "192.0.2.1"
    assert sender_of({"client": None}) == ""


def test_while_the_loop_is_punctual_nobody_waits() -> None:
    body = BodyPace()
    assert body.pause(0.0) == 0
    body.came(2**30, scope("192.0.2.1"), 0.0)
    assert body.pause(0.0) == 0


def test_the_connections_of_one_client_wait_together_and_others_do_not() -> None:
    fair, held = FairPace(), list[int]()
    one, two, other = (BodyPace(fair, lambda: held.append(1)) for _ in range(3))
    greedy = scope("192.0.2.1", "greedy")
    now = run_late(fair, {one: greedy, two: greedy}, 2**20)
    assert fair.level is not None
    other.came(100, scope("192.0.2.1", "other"), now)
    assert other.pause(now + BEAT) == 0 and not held
    assert one.pause(now) == two.pause(now) > 0 and len(held) == 2
    fair.wait("greedy", now)
    before = one.pause(now)
    two.came(2**20, greedy, now)
    assert one.pause(now) - before == pytest.approx(body_cost(2**20) / fair.level)


def test_a_pause_ends_with_time() -> None:
    fair = FairPace()
    body = BodyPace(fair)
    sent = scope("192.0.2.1")
    now = run_late(fair, {body: sent}, 2**20)
    pause = body.pause(now)
    assert body.pause(now + pause / 2) == pytest.approx(pause / 2)
    assert body.pause(now + pause) == pytest.approx(0)
