"""Deadline: how long a step may take, according to successful ones."""

from __future__ import annotations

from server.workers.step_deadline import FIRST_SECONDS, LEAST_SECONDS, Deadline


def test_the_first_step_may_take_long() -> None:
    assert Deadline().seconds == FIRST_SECONDS


def test_then_it_is_a_multiple_of_the_slowest() -> None:
    deadline = Deadline()
    deadline.learn(0.01)
    assert deadline.seconds == LEAST_SECONDS
    deadline.learn(0.7)
    deadline.learn(0.1)
    assert deadline.seconds == 7.0


def test_one_that_is_fixed_learns_nothing() -> None:
    deadline = Deadline(0.5)
    deadline.learn(60)
    assert deadline.seconds == 0.5
