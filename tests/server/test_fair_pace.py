"""Which clients are held back while the event loop is late, and by how much."""

from __future__ import annotations

from collections.abc import Mapping

import pytest

from server.fair_pace import (
    ALWAYS,
    BURST_SECONDS,
    COMPETES_SECONDS,
    CUT,
    GROWTH,
    LATE_SECONDS,
    FairPace,
    adjusted,
    reading_cost,
)

LATE, PUNCTUAL = 2 * LATE_SECONDS, 0.0
BEAT = 0.02


class Loop:
    """An event loop in virtual time: clients send messages of ``cost`` as often as they are read,
    or want to; it is late while their work together exceeds what it can do."""

    def __init__(self, wants: Mapping[str, float], cost: float = 0.001, able: float = 0.5) -> None:
        self.pace = FairPace()
        self.now = 0.0
        self.done = dict.fromkeys(wants, 0.0)
        self._wants, self._cost, self._able = wants, cost, able
        self._due = dict.fromkeys(wants, 0.0)

    def run(self, seconds: float) -> dict[str, float]:
        """Return the share of the loop's time that each client had."""
        before, began = dict(self.done), self.now
        while self.now < began + seconds:
            worked = sum(self._read(client) for client in self._wants)
            self.now += BEAT
            self.pace.observe(LATE if worked > self._able * BEAT else PUNCTUAL, self.now)
        passed = self.now - began
        return {client: (self.done[client] - before[client]) / passed for client in self._wants}

    def _read(self, client: str) -> float:
        worked = 0.0
        while self._due[client] < self.now + BEAT:
            at = max(self.now, self._due[client])
            if pause := self.pace.wait(client, at):
                self._due[client] = at + max(pause, 1e-6)
                continue
            self.pace.spend(client, self._cost, at)
            self._due[client] = at + self._cost / self._wants[client]
            worked += self._cost
        self.done[client] += worked
        return worked


def test_a_greedy_client_is_held_back_and_modest_ones_are_not() -> None:
    loop = Loop({"greedy": 2.0, "modest": 0.05, "frugal": 0.002})
    loop.run(5.0)
    shares = loop.run(10.0)
    assert shares["modest"] == pytest.approx(0.05, rel=0.02)
    assert shares["frugal"] == pytest.approx(0.002, rel=0.1)
    assert ALWAYS / 3 <= shares["greedy"] < 0.5


def test_two_greedy_clients_get_the_same() -> None:
    loop = Loop({"one": 1.0, "two": 3.0, "modest": 0.01})
    loop.run(5.0)
    shares = loop.run(10.0)
    assert shares["one"] == pytest.approx(shares["two"], rel=0.05)
    assert sum(shares.values()) < 0.55


def test_while_the_loop_is_punctual_nobody_waits() -> None:
    loop = Loop({"greedy": 0.45, "modest": 0.01})
    shares = loop.run(10.0)
    assert loop.pace.level is None and shares["greedy"] == pytest.approx(0.45, rel=0.02)


def test_a_client_alone_has_the_loop_for_itself() -> None:
    loop = Loop({"greedy": 2.0})
    assert loop.run(5.0)["greedy"] == pytest.approx(2.0, rel=0.02) and loop.pace.level is None


def test_what_others_make_late_takes_no_clients_part() -> None:
    loop = Loop({"one": ALWAYS / 2, "two": 0.01}, able=0.0)
    assert loop.run(20.0)["one"] == pytest.approx(ALWAYS / 2, rel=0.02)


def test_who_left_does_not_compete() -> None:
    pace = FairPace()
    for beat in range(20):
        pace.spend("greedy", 0.02, beat * BEAT)
        pace.spend("modest", 0.0001, beat * BEAT)
        pace.observe(LATE, beat * BEAT)
    assert pace.level is not None and pace.wait("greedy", 20 * BEAT) > 0
    later = 20 * BEAT + COMPETES_SECONDS
    pace.spend("greedy", 0.02, later)
    pace.observe(LATE, later)
    assert pace.level is None and pace.wait("greedy", later) == 0
    assert repr(pace) == "<FairPace no level, 1 clients>"


def test_a_client_that_paused_may_send_a_little_at_once() -> None:
    pace = FairPace()
    for now in (0.0, 0.2):
        pace.spend("greedy", 1.0, now)
        pace.spend("modest", 0.0001, now)
        pace.observe(LATE, now)
    assert pace.level is not None
    pace.wait("modest", 100.0)
    pace.spend("modest", pace.level * BURST_SECONDS, 100.0)
    assert pace.wait("modest", 100.0) == 0
    pace.spend("modest", pace.level, 100.0)
    assert pace.wait("modest", 100.0) == pytest.approx(1.0)
    assert pace.wait("modest", 100.4) == pytest.approx(0.6)
    assert pace.wait("stranger", 100.0) == 0


@pytest.mark.parametrize(
    ("level", "shares", "late", "expected"),
    [
        (None, [0.9, 0.01], LATE, 0.9 * CUT),
        (0.8, [0.9, 0.01], LATE, 0.8 * CUT),
        (0.8, [0.6, 0.01], LATE, 0.6 * CUT),
        (0.25, [0.25, 0.01], LATE, ALWAYS / 2),
        (None, [0.1, 0.01], LATE, ALWAYS / 2),
        (0.25, [0.25, 0.01], PUNCTUAL, 0.25 * GROWTH),
        (0.5, [0.2, 0.01], PUNCTUAL, None),
        (None, [0.9, 0.01], PUNCTUAL, None),
        (0.25, [0.9], LATE, None),
        (0.25, [], LATE, None),
    ],
)
def test_the_level(
    level: float | None, shares: list[float], late: float, expected: float | None
) -> None:
    assert adjusted(level, shares, late) == (expected and pytest.approx(expected))


def test_larger_messages_cost_more() -> None:
    assert 0 < reading_cost(0) < reading_cost(10**6) < 0.1
