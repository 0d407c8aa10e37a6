"""Clients that send nothing or read nothing; the clock is a number."""

from __future__ import annotations

import pytest

from server.errors import TooSlow
from server.web.timeouts import Timeouts


def test_a_client_that_sends_nothing_is_too_slow_unless_it_is_owed_answers() -> None:
    timeouts = Timeouts(idle=10.0, slow=4.0, now=100.0)
    timeouts.check(110.0, is_owed=False)
    timeouts.check(115.0, is_owed=True)
    timeouts.check(125.0, is_owed=False)
    with pytest.raises(TooSlow, match="Nothing was sent for 10 s"):
        timeouts.check(125.1, is_owed=False)
    timeouts.alive = 125.0
    timeouts.check(135.0, is_owed=False)


def test_a_client_that_reads_nothing_is_too_slow_even_if_it_sends() -> None:
    timeouts = Timeouts(idle=10.0, slow=4.0, now=0.0)
    timeouts.begin_to_send(1.0)
    timeouts.alive = 5.0
    timeouts.check(5.0, is_owed=True)
    with pytest.raises(TooSlow, match="Nothing was read for 4 s"):
        timeouts.check(5.1, is_owed=True)
    timeouts.sent()
    timeouts.check(5.1, is_owed=True)


def test_the_time_left_to_read_the_last_message_runs_from_the_send() -> None:
    timeouts = Timeouts(idle=10.0, slow=4.0, now=0.0)
    assert timeouts.left(7.0) == 4.0
    timeouts.begin_to_send(7.0)
    assert [timeouts.left(now) for now in (8.0, 20.0)] == [3.0, 0.0]


@pytest.mark.parametrize(("idle", "slow", "interval"), [(60, 60, 1.0), (60, 2, 0.5), (1, 60, 0.25)])
def test_it_is_checked_often_enough(idle: float, slow: float, interval: float) -> None:
    assert Timeouts(idle, slow, 0.0).interval == interval
