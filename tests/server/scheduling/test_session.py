"""One stream's bookkeeping."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import DropCause, DropPolicy
from server.errors import Conflict, OutOfSequence
from server.frame import Dropped, Frame, ResetCause
from server.scheduling.session import RENEWALS, Session
from server.scheduling.turns import Turn

PIXELS = np.zeros((2, 2, 3), np.uint8)


def frame(seq: int, *, reset: bool = False, replay: bool = False, arrived: float = 0.0) -> Frame:
    return Frame(PIXELS, seq, reset=reset, replay=replay, arrived=arrived)


def offer(session: Session, *seqs: int) -> list[Dropped]:
    return [drop for seq in seqs for drop in session.offer(frame(seq), now=0.0)]


def step(session: Session, memory: object = "memory") -> tuple[int, ResetCause | None]:
    """Do one successful step; return the frame's seq and why its memory was emptied."""
    turn = session.take(0.0)
    session.finish(memory)
    return turn.frame.seq, turn.reset


def steps(session: Session) -> list[tuple[int, ResetCause | None]]:
    done = []
    while session.ready:
        done.append(step(session))
    return done


def test_its_state_is_named_and_told() -> None:
    session, states = Session(), []
    for act in (
        lambda: None,
        lambda: offer(session, 4),
        lambda: session.take(0.0),
        lambda: session.finish("memory"),
        session.close,
    ):
        act()
        states.append(session.state.value)
    assert states == ["idle", "waiting", "stepping", "idle", "closed"]
    assert repr(session) == "<Session closed latest waiting=0 last_seq=4>"


def test_the_first_frame_finds_a_new_memory_and_the_next_what_was_kept() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0, 1)
    assert session.memory is None
    assert step(session, "first") == (0, ResetCause.NEW)
    assert session.memory == "first"
    assert step(session, "second") == (1, None)


def test_latest_keeps_the_newest_and_reports_the_loss() -> None:
    session = Session(DropPolicy.LATEST)
    assert offer(session, 0, 1, 2) == [Dropped(0, DropCause.NEWER), Dropped(1, DropCause.NEWER)]
    assert steps(session) == [(2, ResetCause.NEW)]
    assert session.counts.offered == 3
    assert session.counts.dropped == 2


def test_latest_never_drops_what_is_in_its_step() -> None:
    session = Session(DropPolicy.LATEST)
    offer(session, 0)
    session.take(0.0)
    assert not session.ready
    assert offer(session, 1) == []
    session.finish("memory")
    assert steps(session) == [(1, None)]


def test_every_keeps_all_up_to_its_window() -> None:
    session = Session(DropPolicy.EVERY, window=2)
    assert offer(session, 0) == []
    assert session.has_room
    assert offer(session, 1) == []
    assert not session.has_room
    assert offer(session, 2) == [Dropped(2, DropCause.OVERLOAD)]
    session.take(0.0)
    assert not session.has_room
    session.finish("memory")
    assert session.has_room


def test_latest_has_room_while_nothing_waits() -> None:
    session = Session(DropPolicy.LATEST)
    offer(session, 0)
    assert not session.has_room
    session.take(0.0)
    assert session.has_room


@pytest.mark.parametrize("seq", [3, 2])
def test_a_seq_that_does_not_rise_is_refused_and_not_taken(seq: int) -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 3)
    with pytest.raises(OutOfSequence, match=f"{seq} came after 3"):
        offer(session, seq)
    assert (session.waiting, session.counts.offered, session.last_seq) == (1, 1, 3)


def test_a_frame_over_its_budget_is_stale() -> None:
    session = Session(DropPolicy.EVERY, budget=0.1)
    for seq, arrived in enumerate([10.0, 10.05, 10.2]):
        session.offer(frame(seq, arrived=arrived), now=arrived)
    assert session.expire(now=10.1) == []
    assert session.expire(now=10.16) == [Dropped(0, DropCause.STALE), Dropped(1, DropCause.STALE)]
    assert steps(session) == [(2, ResetCause.NEW)]


def test_without_a_budget_nothing_gets_stale() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0)
    assert session.expire(now=1e9) == []


def test_a_reset_applies_to_the_next_frame_offered_not_to_those_that_wait() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0, 1)
    session.reset()
    offer(session, 2, 3)
    assert steps(session) == [(0, ResetCause.NEW), (1, None), (2, ResetCause.CLIENT), (3, None)]


def test_a_frame_can_ask_for_the_reset_itself() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0)
    session.offer(frame(1, reset=True), now=0.0)
    assert steps(session) == [(0, ResetCause.NEW), (1, ResetCause.CLIENT)]


def test_a_reset_has_the_cause_that_was_given() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0)
    session.reset(ResetCause.SOURCE)
    offer(session, 1)
    assert steps(session) == [(0, ResetCause.NEW), (1, ResetCause.SOURCE)]


def test_the_reset_of_a_dropped_frame_passes_to_the_next() -> None:
    session = Session(DropPolicy.LATEST)
    offer(session, 0)
    steps(session)
    session.offer(frame(1, reset=True), now=0.0)
    offer(session, 2)
    assert steps(session) == [(2, ResetCause.CLIENT)]


def test_the_reset_of_a_stale_frame_goes_to_the_one_behind_it() -> None:
    session = Session(DropPolicy.EVERY, budget=1.0)
    session.offer(frame(0, arrived=0.0), now=0.0)
    session.offer(frame(1, arrived=5.0), now=5.0)
    session.expire(now=5.0)
    assert steps(session) == [(1, ResetCause.NEW)]


def test_the_reset_of_a_frame_beyond_the_window_is_not_lost() -> None:
    session = Session(DropPolicy.EVERY, window=1)
    offer(session, 0)
    session.reset()
    assert offer(session, 1) == [Dropped(1, DropCause.OVERLOAD)]
    steps(session)
    offer(session, 2)
    assert steps(session) == [(2, ResetCause.CLIENT)]


def test_a_failed_frame_leaves_the_memory_and_hands_its_reset_on() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0)
    step(session, "kept")
    session.offer(frame(1, reset=True), now=0.0)
    offer(session, 2)
    session.take(0.0)
    assert session.fail().frame.seq == 1
    assert session.memory == "kept"
    assert session.counts.failed == 1
    assert steps(session) == [(2, ResetCause.CLIENT)]


def test_a_retried_frame_comes_next_again_alone() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0, 1)
    session.take(0.0)
    session.retry()
    assert session.next_is_alone
    turn = session.take(0.0)
    assert (turn.frame.seq, turn.alone, turn.reset) == (0, True, ResetCause.NEW)
    session.finish("memory")
    assert not session.next_is_alone


def test_replayed_frames_feed_the_memory_and_are_neither_displaced_nor_stale() -> None:
    session = Session(DropPolicy.LATEST, budget=1.0)
    session.offer(frame(0, replay=True), now=0.0)
    session.offer(frame(1, replay=True), now=0.0)
    assert session.offer(frame(2, arrived=9.0), now=9.0) == []
    assert session.expire(now=9.0) == []
    assert [seq for seq, _ in steps(session)] == [0, 1, 2]
    assert (session.counts.replayed, session.counts.segmented) == (2, 1)


def test_a_lost_memory_is_rebuilt_from_the_last_frames_before_the_next_one() -> None:
    session = Session(DropPolicy.EVERY, horizon=2)
    offer(session, 0, 1, 2)
    steps(session)
    session.lose_memory()
    assert session.memory is None
    assert not session.ready, "it is rebuilt only for a new frame"
    assert (session.waiting, session.unanswered) == (0, 0)
    offer(session, 3)
    assert (session.waiting, session.unanswered) == (1, 1)
    turns = [(t.frame.seq, t.rebuild, t.reset) for t in taken(session)]
    assert turns == [(1, True, None), (2, True, None), (3, False, None)]
    assert session.counts.segmented == 4
    assert session.counts.replayed == 0


def test_only_frames_since_the_last_reset_are_rebuilt() -> None:
    session = Session(DropPolicy.EVERY, horizon=3)
    offer(session, 0, 1)
    session.reset()
    offer(session, 2)
    steps(session)
    session.lose_memory()
    offer(session, 3)
    assert [turn.frame.seq for turn in taken(session)] == [2, 3]


def test_a_memory_lost_while_it_is_rebuilt_is_rebuilt_from_the_start() -> None:
    session = Session(DropPolicy.EVERY, horizon=3)
    offer(session, 0, 1, 2)
    steps(session)
    session.lose_memory()
    offer(session, 3)
    step(session)
    session.take(0.0)
    session.retry()
    session.lose_memory()
    assert [(t.frame.seq, t.rebuild) for t in taken(session)] == [
        (0, True),
        (1, True),
        (2, True),
        (3, False),
    ]


def test_a_memory_that_cannot_be_rebuilt_is_told_to_the_next_frame() -> None:
    session = Session(DropPolicy.EVERY, horizon=None)
    offer(session, 0, 1)
    step(session)
    session.lose_memory()
    assert step(session) == (1, ResetCause.ENGINE)
    session.lose_memory()
    offer(session, 2)
    assert step(session) == (2, ResetCause.ENGINE)


def test_a_stream_without_memory_loses_none() -> None:
    for horizon in (0, 2, None):
        session = Session(DropPolicy.EVERY, horizon=horizon)
        session.lose_memory()
        offer(session, 0)
        assert step(session) == (0, ResetCause.NEW)
    session = Session(DropPolicy.EVERY, horizon=0)
    offer(session, 0, 1)
    step(session)
    session.lose_memory()
    assert step(session) == (1, None)


def test_when_rebuilding_fails_the_stream_continues_empty_and_says_so() -> None:
    session = Session(DropPolicy.EVERY, horizon=2)
    offer(session, 0, 1)
    steps(session)
    session.lose_memory()
    offer(session, 2)
    session.take(0.0)
    assert session.fail().rebuild
    assert session.counts.failed == 0
    assert steps(session) == [(2, ResetCause.ENGINE)]


def test_past_frames_pin_no_originals() -> None:
    session = Session(DropPolicy.EVERY, horizon=1)
    session.offer(Frame(PIXELS, 0, original=np.zeros((9, 9, 3), np.uint8)), now=0.0)
    steps(session)
    session.lose_memory()
    offer(session, 1)
    assert session.take(0.0).frame.original is None


def test_closing_drops_what_waits_and_lets_the_step_end() -> None:
    session = Session(DropPolicy.EVERY)
    offer(session, 0, 1, 2)
    session.take(0.0)
    assert session.close() == [Dropped(1, DropCause.STALE), Dropped(2, DropCause.STALE)]
    assert session.close() == []
    assert session.unanswered == 1
    session.finish("memory")
    assert (session.unanswered, session.ready) == (0, False)
    with pytest.raises(Conflict):
        offer(session, 3)


def taken(session: Session) -> list[Turn]:
    turns: list[Turn] = []
    while session.ready:
        turns.append(session.take(0.0))
        session.finish("memory")
    return turns


ACTIONS: dict[str, Callable[[Session], object]] = {
    "take": lambda session: session.take(0.0) if session.ready else None,
    "finish": lambda session: session.finish("memory") if session.in_flight else None,
    "fail": lambda session: session.fail() if session.in_flight else None,
    "retry": lambda session: session.retry() if session.in_flight else None,
    "lose": lambda session: None if session.in_flight else session.lose_memory(),
    "reset": lambda session: session.reset(),
}


@settings(deadline=None)
@given(
    policy=st.sampled_from(DropPolicy),
    horizon=st.sampled_from([0, 2, None]),
    window=st.integers(1, 3),
    actions=st.lists(st.sampled_from(["offer", "replay", "expire", *ACTIONS]), max_size=40),
)
def test_every_frame_is_answered_exactly_once_whatever_happens(
    policy: DropPolicy, horizon: int | None, window: int, actions: list[str]
) -> None:
    session = Session(policy, window=window, budget=5.0, horizon=horizon)
    answered: list[int] = []
    resets = 0
    for now, action in enumerate(actions):
        if action in ("offer", "replay"):
            offered = frame(now, arrived=now, replay=action == "replay")
            answered += [drop.seq for drop in session.offer(offered, now)]
        elif action == "expire":
            answered += [drop.seq for drop in session.expire(now)]
        else:
            turn = session.in_flight
            ACTIONS[action](session)
            if turn and action in ("finish", "fail") and not turn.rebuild:
                answered.append(turn.frame.seq)
                resets += action == "finish" and turn.reset is ResetCause.NEW
        assert session.unanswered <= window
    if session.in_flight:
        turn = session.fail()
        answered += [] if turn.rebuild else [turn.frame.seq]
    answered += [drop.seq for drop in session.close()]
    offered_seqs = [now for now, action in enumerate(actions) if action in ("offer", "replay")]
    assert sorted(answered) == offered_seqs
    counts = session.counts
    assert counts.offered == len(offered_seqs)
    assert counts.offered == (counts.segmented + counts.replayed + counts.dropped + counts.failed)
    assert resets <= 1, "a stream is new once"
    assert resets == 1 or not counts.segmented + counts.replayed


def test_latest_has_no_room_beyond_its_window() -> None:
    session = Session(DropPolicy.LATEST, window=1)
    session.offer(frame(0, replay=True), 0.0)
    session.take(0.0)
    assert not session.has_room


def test_a_newer_frame_is_wanted_at_once_while_none_waits() -> None:
    session = Session()
    assert session.wanted_at == 0.0
    session.offer(frame(0), now=5.0)
    session.take(8.0)
    assert session.wanted_at == 0.0


def test_a_frame_that_waits_is_replaced_a_few_times_until_its_step_is_expected() -> None:
    session = Session()
    session.offer(frame(0), now=5.0)
    session.offer(frame(1), now=6.0)
    session.take(5.0 + 3 * RENEWALS)
    session.offer(frame(2), now=20.0)
    assert session.wanted_at == 20.0 + 3
    session.offer(frame(3), now=23.0)
    assert session.wanted_at == 23.0 + 3
    session.finish("memory")
    session.take(23.5)
    session.offer(frame(4), now=24.0)
    assert session.wanted_at == pytest.approx(24.0 + 3.5 / RENEWALS)


def test_a_stream_that_never_waits_gets_each_of_its_frames_decoded() -> None:
    session = Session()
    for seq in range(3):
        session.offer(frame(seq), now=float(seq))
        session.take(float(seq))
        session.finish("memory")
    session.offer(frame(3), now=3.0)
    assert session.wanted_at == 3.0


def test_a_frame_is_replaced_before_it_is_too_old() -> None:
    session = Session(budget=0.5)
    session.offer(frame(0), now=0.0)
    session.take(60.0)
    session.offer(frame(1), now=60.0)
    assert session.wanted_at == 60.25
