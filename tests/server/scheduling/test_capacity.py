"""An engine's capacity, according to its steps."""

from __future__ import annotations

import pytest

from server.scheduling.capacity import MAX_RECENT, REMEMBERED, StepTimes


def test_before_the_first_step_nothing_is_known() -> None:
    known = StepTimes().capacity(now=5.0)
    assert (known.steps, known.rate, known.gain, known.used, known.left) == ((), 0, 0, 0, 0)


def test_the_rate_is_that_of_the_best_batch() -> None:
    times = StepTimes()
    times.observe(1, 0.0, 0.1)
    times.observe(4, 1.0, 1.2)
    known = times.capacity(now=2.0)
    assert [(step.size, pytest.approx(step.seconds)) for step in known.steps] == [
        (1, 0.1),
        (4, 0.2),
    ]
    assert known.rate == pytest.approx(20)
    assert known.gain == pytest.approx(2)
    assert known.used == pytest.approx(0.5)
    assert known.busy == pytest.approx(0.03)
    assert known.left == pytest.approx(19.4)


def test_one_slow_step_changes_nothing() -> None:
    times = StepTimes()
    for number in range(9):
        times.observe(1, number, number + 0.1)
    times.observe(1, 20.0, 29.0)
    assert times.capacity(now=30.0).rate == pytest.approx(10)


def test_what_is_used_is_of_the_last_seconds_and_never_above_all() -> None:
    times = StepTimes()
    for number in range(200):
        times.observe(2, number * 0.1, number * 0.1 + 0.1)
    known = times.capacity(now=20.0)
    assert known.used == pytest.approx(20, rel=0.05)
    assert known.busy == pytest.approx(1, rel=0.02)
    assert known.left <= 0.5
    assert times.capacity(now=100.0).used == 0


def test_without_single_steps_the_gain_is_unknown() -> None:
    times = StepTimes()
    times.observe(4, 0.0, 0.2)
    assert times.capacity(now=1.0).gain == 1


def test_it_remembers_a_bounded_number_of_steps_and_forgets_with_its_engine() -> None:
    times = StepTimes()
    for number in range(MAX_RECENT + 5):
        times.observe(1, number, number + 0.5)
    assert len(times._recent) == MAX_RECENT and len(times._by_size[1]) == REMEMBERED
    times.start({})
    assert times.capacity(now=0.0).steps == ()


def test_a_new_engine_is_known_by_its_warm_up_until_it_has_served() -> None:
    times = StepTimes()
    times.observe(1, 0.0, 9.0)
    times.start({1: 0.1, 4: 0.2})
    known = times.capacity(now=9.0)
    assert (known.rate, known.gain) == (pytest.approx(20), pytest.approx(2))
    assert (known.used, known.busy) == (0, 0), "a warm-up is no use of the engine"
    for number in range(REMEMBERED):
        times.observe(4, number, number + 0.4)
    assert times.capacity(now=200.0).rate == pytest.approx(10)
