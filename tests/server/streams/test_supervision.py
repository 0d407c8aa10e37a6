"""The states of a pulled stream, without a camera or a clock."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from server.streams.states import (
    Action,
    Broken,
    Deadline,
    Event,
    Finished,
    Hung,
    Pause,
    Picture,
    Resume,
    Rules,
    StreamState,
    Supervised,
)
from server.streams.supervision import backoff, begin, decide

RULES = Rules(connect=10, stall=3, give_up=7, refused=60, settled=10)
LIVE = Supervised(StreamState.LIVE, since=100, deadline=103, attempt=4)
CONNECTING = Supervised(StreamState.CONNECTING, since=100, deadline=110, attempt=4)
STALLED = Supervised(StreamState.STALLED, 100, 107, 4, "source_silent", "nothing")
BACKOFF = Supervised(StreamState.BACKOFF, 100, 105, 4, "source_silent", "nothing")
PAUSED = Supervised(StreamState.PAUSED, 100)
BROKEN = Broken("unreachable", "The camera cannot be reached.")
REFUSED = Broken("source_refused", "The password is wrong.", refused=True)


def after(state: Supervised, event: Event, now: float = 102) -> tuple[Supervised, Action]:
    return decide(state, event, now, RULES, jitter=0)


def test_a_stream_begins_by_connecting_or_paused() -> None:
    assert begin(5, RULES) == (
        Supervised(StreamState.CONNECTING, since=5, deadline=15),
        Action.OPEN,
    )
    assert begin(5, RULES, paused=True) == (Supervised(StreamState.PAUSED, 5), Action.NOTHING)


@pytest.mark.parametrize("state", [CONNECTING, STALLED])
def test_a_picture_makes_it_live_and_clears_the_reason(state: Supervised) -> None:
    assert after(state, Picture()) == (
        Supervised(StreamState.LIVE, since=102, deadline=105, attempt=4),
        Action.NOTHING,
    )


def test_a_picture_of_a_live_stream_only_moves_its_deadline() -> None:
    assert after(LIVE, Picture()) == (
        Supervised(StreamState.LIVE, since=100, deadline=105, attempt=4),
        Action.NOTHING,
    )


def test_a_live_stream_is_stalled_after_silence_and_not_before() -> None:
    state, action = after(LIVE, Deadline(silent=1), now=103)
    assert (state, action) == (
        Supervised(StreamState.LIVE, since=100, deadline=105, attempt=4),
        Action.NOTHING,
    )
    state, action = after(LIVE, Deadline(silent=3), now=105)
    assert (state.state, state.since, state.deadline) == (StreamState.STALLED, 105, 112)
    assert (state.code, state.detail) == ("source_silent", "The camera sent nothing for 3 s.")
    assert action is Action.NOTHING, "it may come back by itself"


def test_data_without_pictures_is_reported_as_such() -> None:
    state, action = after(CONNECTING, Deadline(silent=10, has_packets=True), now=110)
    assert (state.state, state.code, action) == (
        StreamState.BACKOFF,
        "source_undecodable",
        Action.CLOSE,
    )
    assert "no picture could be decoded for 10 s" in state.detail


@pytest.mark.parametrize(
    ("state", "event", "now"),
    [
        (CONNECTING, Deadline(silent=10), 110),
        (STALLED, Deadline(silent=10), 107),
        (CONNECTING, BROKEN, 102),
        (STALLED, BROKEN, 102),
        (LIVE, BROKEN, 102),
        (LIVE, Finished(is_file=False), 102),
    ],
)
def test_what_breaks_is_closed_and_tried_again_later(
    state: Supervised, event: Event, now: float
) -> None:
    found, action = after(state, event, now)
    assert (found.state, action, found.attempt) == (StreamState.BACKOFF, Action.CLOSE, 5)
    assert found.deadline == now + 16, "1 s doubled four times"
    assert found.detail.endswith(".")
    assert after(found, Deadline(silent=0), found.deadline) == (
        Supervised(StreamState.CONNECTING, found.deadline, found.deadline + 10, attempt=5),
        Action.OPEN,
    )


def test_a_stream_that_was_healthy_begins_with_the_shortest_wait() -> None:
    found, _ = after(LIVE, BROKEN, now=111)
    assert (found.deadline, found.attempt) == (112, 1)


def test_a_refusal_is_reported_at_once_and_retried_slowly() -> None:
    found, action = after(CONNECTING, REFUSED)
    assert (found.state, found.deadline, found.code, found.detail, action) == (
        StreamState.BACKOFF,
        162,
        "source_refused",
        "The password is wrong.",
        Action.CLOSE,
    )


def test_a_file_ends_or_begins_again() -> None:
    ended, action = after(LIVE, Finished(is_file=True))
    assert (ended.state, ended.deadline, action) == (StreamState.ENDED, None, Action.CLOSE)
    again, action = after(LIVE, Finished(is_file=True, loops=True))
    assert (again.state, again.attempt, action) == (StreamState.CONNECTING, 0, Action.OPEN)


@pytest.mark.parametrize("state", [LIVE, CONNECTING, STALLED, BACKOFF])
def test_a_pause_closes_what_is_open_and_resume_connects(state: Supervised) -> None:
    paused, action = after(state, Pause())
    assert (paused.state, paused.deadline) == (StreamState.PAUSED, None)
    assert action is (Action.CLOSE if state.state.has_source else Action.NOTHING)
    assert after(paused, Resume(), 200) == begin(200, RULES)


def test_too_many_hung_decoders_fail_the_stream_until_it_is_resumed() -> None:
    failed, _ = after(BACKOFF, Hung())
    assert (failed.state, failed.code, failed.deadline) == (
        StreamState.FAILED,
        "decoder_hung",
        None,
    )
    assert after(failed, Resume())[1] is Action.OPEN


def test_events_that_come_late_change_nothing() -> None:
    for event in (Picture(), BROKEN, Finished(is_file=False), Pause(), Deadline(silent=9)):
        assert after(PAUSED, event) == (PAUSED, Action.NOTHING)
    for event in (Picture(), BROKEN, Finished(is_file=True)):
        assert after(BACKOFF, event) == (BACKOFF, Action.NOTHING)
    assert after(LIVE, Resume()) == (LIVE, Action.NOTHING)


@given(st.integers(0, 1000), st.floats(0, 1))
def test_waits_lie_between_the_shortest_and_the_longest(attempt: int, jitter: float) -> None:
    assert 1 <= backoff(attempt, RULES, jitter) <= 30


EVENTS = st.one_of(
    st.builds(Picture),
    st.builds(Deadline, st.floats(0, 100), st.booleans()),
    st.just(BROKEN),
    st.just(REFUSED),
    st.builds(Finished, st.booleans(), st.booleans()),
    st.builds(Hung),
    st.builds(Pause),
    st.builds(Resume),
)


@given(st.lists(st.tuples(EVENTS, st.floats(0.01, 20)), max_size=30), st.floats(0, 1))
def test_a_source_is_opened_and_closed_in_turn_whatever_happens(
    steps: list[tuple[Event, float]], jitter: float
) -> None:
    now, opened = 0.0, 0
    state, action = begin(now, RULES)
    for event, seconds in [(None, 0.0), *steps]:
        if event is not None:
            now += seconds
            before = state
            state, action = decide(state, event, now, RULES, jitter)
            looped = isinstance(event, Finished) and before.state.has_source
            opened -= looped and action is Action.OPEN
        opened += {Action.OPEN: 1, Action.CLOSE: -1, Action.NOTHING: 0}[action]
        assert opened == state.state.has_source
        waits = state.state.has_source or state.state is StreamState.BACKOFF
        assert (state.deadline is not None) is waits, "no state waits for ever by mistake"
