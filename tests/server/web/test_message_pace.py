"""When a client's next message is read: the strictest of three limits counts."""

from __future__ import annotations

import pytest

from server.admission import Pace
from server.fair_pace import FairPace
from server.web.message_pace import MessagePace
from server.web.transports.allowance import MESSAGES_A_SECOND, MESSAGES_AT_ONCE

held_back: list[str] = []


def pace_of(client: str, pace: Pace, fair: FairPace) -> MessagePace:
    held_back.clear()
    return MessagePace(client, pace, fair, lambda: held_back.append(client), 0.0)


def test_messages_are_read_at_once_until_the_allowance_is_spent() -> None:
    messages = pace_of("a", Pace(), FairPace())
    for _ in range(int(MESSAGES_AT_ONCE)):
        assert messages.wait(0.0) == 0.0
        messages.spend(0, 0.0)
    messages.spend(0, 0.0)
    assert messages.wait(0.0) == pytest.approx(1 / MESSAGES_A_SECOND)
    assert messages.wait(1.0) == 0.0 and held_back == []


def test_the_bytes_of_all_connections_of_a_client_count() -> None:
    pace = Pace(1000.0)
    one, other = pace_of("a", pace, FairPace()), pace_of("a", pace, FairPace())
    stranger = pace_of("b", pace, FairPace())
    one.spend(100_000, 0.0)
    assert other.wait(0.0) == one.wait(0.0) > 1.0
    assert stranger.wait(0.0) == 0.0


def test_who_causes_most_work_while_the_loop_is_late_is_held_back_and_that_is_reported() -> None:
    fair = FairPace()
    greedy, modest = pace_of("greedy", Pace(), fair), pace_of("modest", Pace(), fair)
    for tenth in range(30):
        now = tenth / 10
        for _ in range(200):
            greedy.spend(100_000, now)
        modest.spend(100_000, now)
        fair.observe(0.1, now)
    assert greedy.wait(3.0) > 0.0 and held_back == ["greedy"]
    assert modest.wait(3.0) == 0.0
