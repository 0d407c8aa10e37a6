"""The queue of one stream, in which resets outlive their frames."""

from __future__ import annotations

import numpy as np

from protocol import DropCause
from server.frame import Dropped, Frame, ResetCause
from server.scheduling.turns import TurnQueue

PIXELS = np.zeros((2, 2, 3), np.uint8)


def queue(*frames: Frame) -> TurnQueue:
    waiting = TurnQueue()
    for number, frame in enumerate(frames):
        waiting.append(frame, now=float(number))
    return waiting


def test_frames_leave_in_their_order_with_the_time_they_came() -> None:
    waiting = queue(Frame(PIXELS, 1), Frame(PIXELS, 2))
    assert len(waiting) == 2
    turns = [waiting.take(), waiting.take()]
    assert [(turn.frame.seq, turn.offered) for turn in turns] == [(1, 0.0), (2, 1.0)]
    assert len(waiting) == 0


def test_resets_of_several_dropped_frames_become_one() -> None:
    waiting = queue(Frame(PIXELS, 0, reset=True), Frame(PIXELS, 1, reset=True), Frame(PIXELS, 2))
    drops = waiting.drop(lambda turn: turn.frame.seq < 2, DropCause.NEWER)
    assert drops == [Dropped(0, DropCause.NEWER), Dropped(1, DropCause.NEWER)]
    assert waiting.take().reset is ResetCause.CLIENT


def test_that_a_stream_is_new_outlives_later_resets() -> None:
    waiting = TurnQueue()
    waiting.reset_next(ResetCause.NEW)
    waiting.reset_next(ResetCause.CLIENT)
    assert waiting.append(Frame(PIXELS, 0, reset=True), now=0.0).reset is ResetCause.NEW


def test_that_a_stream_moved_outlives_that_it_is_new_and_all_that_follows() -> None:
    waiting = TurnQueue()
    for cause in (ResetCause.NEW, ResetCause.MOVED, ResetCause.CLIENT):
        waiting.reset_next(cause)
    assert waiting.append(Frame(PIXELS, 0, reset=True), now=0.0).reset is ResetCause.MOVED


def test_of_two_other_resets_the_later_tells() -> None:
    waiting = queue(Frame(PIXELS, 0, reset=True))
    waiting.reset_first(ResetCause.ENGINE)
    assert waiting.take().reset is ResetCause.CLIENT
    waiting.reset_first(ResetCause.ENGINE)
    assert waiting.append(Frame(PIXELS, 1), now=0.0).reset is ResetCause.ENGINE


def test_rebuilding_goes_first_counts_for_nothing_and_is_never_dropped() -> None:
    waiting = queue(Frame(PIXELS, 7))
    waiting.rebuild_from([Frame(PIXELS, 5), Frame(PIXELS, 6)])
    assert len(waiting) == 1
    assert waiting.drop(lambda _: True, DropCause.STALE) == [Dropped(7, DropCause.STALE)]
    waiting.append(Frame(PIXELS, 8), now=0.0)
    assert [waiting.take().frame.seq for _ in range(3)] == [5, 6, 8]


def test_rebuilding_can_be_given_up() -> None:
    waiting = queue(Frame(PIXELS, 7))
    waiting.rebuild_from([Frame(PIXELS, 6)])
    waiting.stop_rebuilding()
    assert waiting.take().frame.seq == 7


def test_what_is_put_back_comes_next_alone() -> None:
    waiting = queue(Frame(PIXELS, 1), Frame(PIXELS, 2))
    waiting.put_back(waiting.take())
    assert waiting.next_is_alone
    assert waiting.take().frame.seq == 1
    assert not waiting.next_is_alone
