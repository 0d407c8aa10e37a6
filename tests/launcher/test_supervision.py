"""The decisions of an agent, at times that are passed in."""

from __future__ import annotations

from dataclasses import replace

import pytest

from launcher.supervision import Action, Seen, State, Supervised, Terms, decide, delay

TERMS = Terms(start=10, silence=5, drain=8, first_delay=1, longest_delay=6, steady=60)
GONE = Seen(running=False)
SILENT = Seen(running=True)
LOADING = Seen(running=True, answers=True)
READY = Seen(running=True, answers=True, ready=True)


def one(state: State, since: float = 100, **more: object) -> Supervised:
    return replace(Supervised(since=since, state=state, answered=since), **more)  # type: ignore[arg-type]


def state_and_action(before: Supervised, seen: Seen, now: float) -> tuple[State, Action]:
    after, action = decide(before, seen, now, TERMS)
    return after.state, action


def test_a_server_starts_when_its_folder_is_free() -> None:
    waiting = one(State.WAITING)
    taken = Seen(running=False, can_start=False)
    assert state_and_action(waiting, taken, 500) == (State.WAITING, Action.NOTHING)
    assert state_and_action(waiting, GONE, 101) == (State.STARTING, Action.START)


def test_it_serves_once_it_is_ready() -> None:
    starting = one(State.STARTING)
    assert state_and_action(starting, LOADING, 105) == (State.STARTING, Action.NOTHING)
    assert decide(starting, READY, 106, TERMS)[0] == one(State.SERVING, since=106)


@pytest.mark.parametrize(
    ("state", "last", "past"), [(State.STARTING, 110, 110.1), (State.SERVING, 105, 105.1)]
)
def test_one_that_never_answers_is_killed(state: State, last: float, past: float) -> None:
    assert state_and_action(one(state), SILENT, last) == (state, Action.NOTHING)
    assert state_and_action(one(state), SILENT, past) == (state, Action.KILL)


def test_one_that_answers_without_being_ready_is_left_alone() -> None:
    after, action = decide(one(State.SERVING), LOADING, 900, TERMS)
    assert (after.state, after.answered, action) == (State.SERVING, 900, Action.NOTHING)


def test_delays_double_up_to_a_bound_and_failures_add_up() -> None:
    assert [delay(failures, TERMS) for failures in (1, 2, 3, 4, 5000)] == [1, 2, 4, 6, 6]
    failed, action = decide(one(State.STARTING, failures=2), GONE, 101, TERMS)
    assert (failed.state, failed.failures, action) == (State.BACKING_OFF, 3, Action.NOTHING)
    assert decide(failed, GONE, 104.9, TERMS)[0] == failed
    assert decide(failed, GONE, 105, TERMS)[0].state is State.WAITING


@pytest.mark.parametrize(("served", "failures"), [(59, 3), (60, 1)])
def test_earlier_failures_are_forgotten_after_serving_for_long(served: int, failures: int) -> None:
    ended = decide(one(State.SERVING, failures=2), GONE, 100 + served, TERMS)[0]
    assert (ended.state, ended.failures) == (State.BACKING_OFF, failures)


@pytest.mark.parametrize("state", [State.STARTING, State.SERVING])
def test_a_running_server_that_is_not_wanted_drains_and_is_killed_if_it_takes_too_long(
    state: State,
) -> None:
    draining, action = decide(one(state, wanted=False), READY, 200, TERMS)
    assert (draining.state, action) == (State.DRAINING, Action.DRAIN)
    assert state_and_action(draining, SILENT, 208) == (State.DRAINING, Action.NOTHING)
    assert state_and_action(draining, SILENT, 208.1) == (State.DRAINING, Action.KILL)
    assert state_and_action(draining, GONE, 201) == (State.DRAINED, Action.NOTHING)


@pytest.mark.parametrize("state", [State.WAITING, State.BACKING_OFF])
def test_without_a_process_there_is_nothing_to_drain(state: State) -> None:
    unwanted = one(state, wanted=False)
    assert state_and_action(unwanted, GONE, 101) == (State.DRAINED, Action.NOTHING)


def test_a_drained_server_stays_away_until_it_is_wanted() -> None:
    drained = one(State.DRAINED, wanted=False)
    assert decide(drained, GONE, 999, TERMS) == (drained, Action.NOTHING)
    assert state_and_action(replace(drained, wanted=True), GONE, 999)[0] is State.WAITING


def test_one_that_is_wanted_again_while_it_drains_starts_after_that() -> None:
    draining = one(State.DRAINING, wanted=True)
    assert state_and_action(draining, READY, 101) == (State.DRAINING, Action.NOTHING)
    drained = decide(draining, GONE, 102, TERMS)[0]
    assert decide(drained, GONE, 102, TERMS)[0].state is State.WAITING


def test_every_state_has_a_decision() -> None:
    for state in State:
        decide(one(state), GONE, 100, TERMS)
