"""Waiting before each attempt: counted, reported, and given up in the end."""

from __future__ import annotations

import pytest

from clients.python.errors import Unreachable
from clients.python.reconnecting import Backoff, Lost
from clients.python.retries import Retries

pytestmark = pytest.mark.anyio

LOST = Unreachable("It was lost.")


async def test_attempts_are_counted_until_the_connection_works() -> None:
    told: list[Lost] = []
    retries = Retries(Backoff(first=0.001, longest=0.001), told.append)
    assert retries.seconds == 0.0
    await retries.wait(LOST)
    await retries.wait(LOST)
    assert retries.seconds > 0
    retries.succeeded()
    assert retries.seconds == 0.0
    await retries.wait(LOST)
    assert [one.attempt for one in told] == [1, 2, 1]
    assert all(one.error is LOST and one.retry_in <= 0.001 for one in told)


async def test_the_error_is_raised_once_it_takes_too_long() -> None:
    told: list[Lost] = []
    retries = Retries(Backoff(give_up=0.0), told.append)
    with pytest.raises(Unreachable):
        await retries.wait(LOST)
    assert told == []
