"""Which frames the next step takes: at most one per session, least recently served first.

It never waits for all sessions, and has no clock, thread or device: time is passed in.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from server.frame import Dropped
from server.scheduling.session import Session
from server.scheduling.shares import Shares
from server.scheduling.turns import Turn


@dataclass(frozen=True, slots=True)
class Batch:
    """The next step's frames, and the frames that have become too old for a step."""

    turns: list[tuple[Session, Turn]]
    drops: list[tuple[Session, list[Dropped]]]


class Scheduler:
    """Chooses batches of 1 to ``max_batch`` frames, of live sessions before background ones.

    If n live sessions of one owner wait, each is served within ceil(n / max_batch) steps; only
    frames that must have a step to themselves, after a failed batch, take longer. Competing owners
    get equal numbers of frames: see Shares. Background sessions get the places left in a batch; in
    at least ``share`` (0 to 1) of the steps for which one of them is ready, one of them goes first.
    """

    def __init__(self, max_batch: int, share: float = 0.0) -> None:
        assert max_batch >= 1, "a step takes at least one frame"
        self.max_batch = max_batch
        self._share = share
        self._shares = Shares()
        self._owed = 0.0
        """How many steps a background session should have been served in and was not; a
        fraction."""
        self._sessions: dict[Session, None] = {}
        """Ordered by when they were last served, the longest ago first."""

    def add(self, session: Session) -> None:
        self._sessions[session] = None

    def remove(self, session: Session) -> None:
        """Forget a session. Idempotent."""
        self._sessions.pop(session, None)

    def __iter__(self) -> Iterator[Session]:
        return iter(tuple(self._sessions))

    def __len__(self) -> int:
        return len(self._sessions)

    def __repr__(self) -> str:
        ready = sum(session.ready for session in self._sessions)
        return f"<Scheduler {len(self)} sessions, {ready} ready, max_batch={self.max_batch}>"

    def schedule(self, now: float) -> Batch:
        """Take the next frames and drop those that are too old."""
        expired = [(session, session.expire(now)) for session in self._sessions]
        chosen = self._choose()
        for session in chosen:
            self.remove(session)
            self.add(session)
        return Batch(
            turns=[(session, session.take(now)) for session in chosen],
            drops=[(session, drops) for session, drops in expired if drops],
        )

    def _choose(self) -> list[Session]:
        ready = self._in_order([session for session in self._sessions if session.ready])
        if ready and ready[0].next_is_alone:
            chosen = ready[:1]
        else:
            chosen = [s for s in ready if not s.next_is_alone][: self.max_batch]
        self._shares.serve(session for session in chosen if not session.background)
        if any(session.background for session in chosen):
            self._owed = max(0.0, self._owed - 1)
        return chosen

    def _in_order(self, ready: list[Session]) -> list[Session]:
        """Return the live sessions before those in the background, except for one that is due."""
        live = self._shares.in_order([one for one in ready if not one.background])
        background = [session for session in ready if session.background]
        if background:
            self._owed += self._share
        due = 1 if self._owed >= 1 else 0
        return background[:due] + live + background[due:]
