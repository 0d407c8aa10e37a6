"""Equal shares for competing owners."""

from __future__ import annotations

from collections import Counter

import numpy as np

from protocol import DropPolicy
from server.frame import Frame
from server.scheduling.scheduler import Scheduler
from server.scheduling.session import Session
from server.scheduling.shares import Shares

PIXELS = np.zeros((2, 2, 3), np.uint8)


def sessions(**owners: int) -> list[Session]:
    return [Session(owner=owner) for owner, count in owners.items() for _ in range(count)]


def served(steps: int, batch: int, busy: list[Session], scheduler: Scheduler) -> Counter[str]:
    """Frames by owner, with a new frame for each of the sessions before each step."""
    found: Counter[str] = Counter()
    for step in range(steps):
        for session in busy:
            session.offer(Frame(PIXELS, step), now=0.0)
        turns = scheduler.schedule(now=0.0).turns
        assert len(turns) == min(batch, len(busy))
        for session, _ in turns:
            found[session.owner] += 1
            session.finish("memory")
    return found


def scheduler_of(all_: list[Session], batch: int) -> Scheduler:
    scheduler = Scheduler(max_batch=batch)
    for session in all_:
        scheduler.add(session)
    return scheduler


def test_a_greedy_owner_gets_no_more_than_the_modest() -> None:
    busy = sessions(greedy=16, modest=2)
    found = served(300, 2, busy, scheduler_of(busy, 2))
    assert abs(found["greedy"] - found["modest"]) <= 2


def test_sessions_of_one_owner_share_its_part_equally() -> None:
    busy = sessions(a=4, b=1)
    scheduler = scheduler_of(busy, 1)
    served(400, 1, busy, scheduler)
    counts = [session.counts.segmented for session in busy]
    assert max(counts[:4]) - min(counts[:4]) <= 1
    assert abs(counts[4] - sum(counts[:4])) <= 2


def test_what_one_owner_leaves_the_others_use() -> None:
    busy = sessions(a=8, b=1)
    found = served(100, 4, busy, scheduler_of(busy, 4))
    assert found == {"a": 300, "b": 100}


def test_who_was_idle_has_earned_nothing() -> None:
    both = sessions(a=2, b=2)
    scheduler = scheduler_of(both, 1)
    served(100, 1, both[:2], scheduler)
    for session in both:
        session.close()
        scheduler.remove(session)
    again = sessions(a=2, b=2)
    for session in again:
        scheduler.add(session)
    found = served(100, 1, again, scheduler)
    assert abs(found["a"] - found["b"]) <= 2


def test_owners_that_are_gone_are_forgotten() -> None:
    shares = Shares()
    for number in range(1000):
        shares.serve([Session(DropPolicy.LATEST, owner=str(number))])
        shares.serve([Session(owner="other")])
    assert len(shares._finished) <= 2
