"""Which frames the next step takes."""

from __future__ import annotations

import math

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from protocol import DropCause, DropPolicy
from server.frame import Dropped, Frame
from server.scheduling.scheduler import Batch, Scheduler
from server.scheduling.session import Session

PIXELS = np.zeros((2, 2, 3), np.uint8)


def opened(scheduler: Scheduler, count: int) -> list[Session]:
    sessions = [Session(DropPolicy.EVERY, window=1000) for _ in range(count)]
    for session in sessions:
        scheduler.add(session)
    return sessions


def offer(session: Session, seq: int) -> None:
    session.offer(Frame(PIXELS, seq), now=0.0)


def served(plan: Batch) -> list[tuple[Session, int]]:
    return [(session, turn.frame.seq) for session, turn in plan.turns]


def finish(plan: Batch) -> None:
    for session, _ in plan.turns:
        session.finish("memory")


def test_nothing_waits_nothing_is_scheduled() -> None:
    scheduler = Scheduler(max_batch=4)
    opened(scheduler, 2)
    assert scheduler.schedule(now=0.0) == Batch([], [])


def test_one_frame_of_each_session_a_step() -> None:
    scheduler = Scheduler(max_batch=4)
    one, two = opened(scheduler, 2)
    for session in (one, two):
        offer(session, 0)
        offer(session, 1)
    assert served(scheduler.schedule(now=0.0)) == [(one, 0), (two, 0)]
    assert scheduler.schedule(now=0.0).turns == [], "all are in their step"


def test_it_never_waits_for_all() -> None:
    scheduler = Scheduler(max_batch=4)
    _, two, _ = opened(scheduler, 3)
    offer(two, 0)
    assert served(scheduler.schedule(now=0.0)) == [(two, 0)]


def test_the_least_recently_served_goes_first() -> None:
    scheduler = Scheduler(max_batch=2)
    one, two, three = opened(scheduler, 3)
    for seq in range(2):
        for session in (one, two, three):
            offer(session, seq)
    order = []
    for _ in range(3):
        plan = scheduler.schedule(now=0.0)
        order.append(served(plan))
        finish(plan)
    assert order == [[(one, 0), (two, 0)], [(three, 0), (one, 1)], [(two, 1), (three, 1)]]


def test_who_steps_alone_steps_alone() -> None:
    scheduler = Scheduler(max_batch=3)
    one, two, three = opened(scheduler, 3)
    for session in (one, two, three):
        offer(session, 0)
    scheduler.schedule(now=0.0)
    one.retry()
    two.retry()
    three.finish("memory")
    offer(three, 1)
    plans = []
    for _ in range(3):
        plan = scheduler.schedule(now=0.0)
        plans.append(served(plan))
        finish(plan)
    assert plans == [[(one, 0)], [(two, 0)], [(three, 1)]]


def test_frames_over_their_budget_are_dropped_when_a_step_is_planned() -> None:
    scheduler = Scheduler(max_batch=1)
    slow, fast = Session(DropPolicy.EVERY, budget=0.5), Session(DropPolicy.EVERY)
    scheduler.add(fast)
    scheduler.add(slow)
    offer(fast, 0)
    slow.offer(Frame(PIXELS, 0, arrived=1.0), now=1.0)
    plan = scheduler.schedule(now=2.0)
    assert served(plan) == [(fast, 0)]
    assert plan.drops == [(slow, [Dropped(0, DropCause.STALE)])]


def test_a_removed_session_is_not_served() -> None:
    scheduler = Scheduler(max_batch=4)
    one, two = opened(scheduler, 2)
    offer(one, 0)
    scheduler.remove(one)
    scheduler.remove(one)
    assert scheduler.schedule(now=0.0).turns == []
    assert list(scheduler) == [two]
    assert repr(scheduler) == "<Scheduler 1 sessions, 0 ready, max_batch=4>"


@settings(deadline=None)
@given(
    count=st.integers(1, 9),
    max_batch=st.integers(1, 4),
    arrivals=st.lists(st.lists(st.integers(0, 8), max_size=12), max_size=20),
)
def test_nobody_starves_and_every_frame_is_served_once(
    count: int, max_batch: int, arrivals: list[list[int]]
) -> None:
    scheduler = Scheduler(max_batch)
    sessions = opened(scheduler, count)
    seqs = dict.fromkeys(sessions, 0)
    waits = dict.fromkeys(sessions, 0)
    answers: list[tuple[Session, int]] = []
    rounds = [*arrivals, *([[]] * sum(map(len, arrivals)))]
    for arrived in rounds:
        for index in arrived:
            session = sessions[index % count]
            offer(session, seqs[session])
            seqs[session] += 1
        waiting = {session for session in sessions if session.ready}
        plan = scheduler.schedule(now=0.0)
        assert len(plan.turns) == min(len(waiting), max_batch)
        chosen = dict(served(plan))
        assert len(chosen) == len(plan.turns)
        for session in sessions:
            left = session in waiting and session not in chosen
            waits[session] = waits[session] + 1 if left else 0
            assert waits[session] < math.ceil(count / max_batch)
        answers += chosen.items()
        finish(plan)
    for session in sessions:
        assert [seq for who, seq in answers if who is session] == list(range(seqs[session]))


def background(scheduler: Scheduler, count: int) -> list[Session]:
    sessions = [Session(DropPolicy.EVERY, window=1000, background=True) for _ in range(count)]
    for session in sessions:
        scheduler.add(session)
    return sessions


def test_live_sessions_go_first_and_the_others_get_what_is_left() -> None:
    scheduler = Scheduler(max_batch=3)
    jobs, live = background(scheduler, 2), opened(scheduler, 2)
    for session in (*jobs, *live):
        offer(session, 0)
    assert [who for who, _ in served(scheduler.schedule(now=0.0))] == [*live, jobs[0]]


def test_without_live_frames_the_background_has_the_whole_step() -> None:
    scheduler = Scheduler(max_batch=4)
    jobs = background(scheduler, 4)
    opened(scheduler, 2)
    for session in jobs:
        offer(session, 0)
    assert [who for who, _ in served(scheduler.schedule(now=0.0))] == jobs


def steps_with_a_job(share: float, steps: int, max_batch: int = 2) -> int:
    """Return how many of this many steps take a background frame if live frames fill all of
    them."""
    scheduler = Scheduler(max_batch, share)
    (job,), live = background(scheduler, 1), opened(scheduler, max_batch)
    found = 0
    for seq in range(steps):
        for session in (job, *live):
            offer(session, seq)
        plan = scheduler.schedule(now=0.0)
        assert len(plan.turns) == max_batch
        found += job in dict(plan.turns)
        finish(plan)
    return found


@given(st.sampled_from([0.0, 0.05, 0.1, 0.25, 0.5, 1.0]), st.integers(1, 4))
def test_the_background_gets_its_share_of_the_steps_and_no_more(
    share: float, max_batch: int
) -> None:
    found = steps_with_a_job(share, 200, max_batch)
    assert abs(found - 200 * share) <= 1


def test_nothing_is_owed_for_steps_that_served_the_background_anyway() -> None:
    scheduler = Scheduler(max_batch=2, share=0.5)
    (job,), (live,) = background(scheduler, 1), opened(scheduler, 1)
    for seq in range(10):
        offer(job, seq)
        offer(live, seq)
        plan = scheduler.schedule(now=0.0)
        assert served(plan) == [(live, seq), (job, seq)]
        finish(plan)
    (more,) = opened(scheduler, 1)
    for session in (job, live, more):
        offer(session, 10)
    assert job not in dict(scheduler.schedule(now=0.0).turns)


def test_a_frame_of_the_background_that_must_be_alone_waits_for_a_step_of_its_own() -> None:
    scheduler = Scheduler(max_batch=2, share=0.5)
    (job,), live = background(scheduler, 1), opened(scheduler, 2)
    offer(job, 0)
    scheduler.schedule(now=0.0)
    job.retry()
    seen = []
    for seq in range(6):
        for session in live:
            offer(session, seq)
        plan = scheduler.schedule(now=0.0)
        seen.append([who for who, _ in served(plan)])
        finish(plan)
    assert [job] in seen
    assert all(step == [job] or job not in step for step in seen)
