"""One stream's bookkeeping: what waits, what is under way, what is remembered.

It decides and does nothing: no clock, no device, no sink. Every frame that :meth:`Session.offer`
takes is answered exactly once: it is returned as Dropped, it finishes or it fails.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import Enum

from protocol import DropCause, DropPolicy
from server.engines.base import Memory
from server.errors import Conflict, OutOfSequence
from server.frame import Dropped, Frame, ResetCause
from server.scheduling.turns import Turn, TurnQueue


class SessionState(Enum):
    IDLE = "idle"
    WAITING = "waiting"
    STEPPING = "stepping"
    CLOSED = "closed"


@dataclass(slots=True)
class Counts:
    """Frames of one session: offered = segmented + replayed + dropped + failed + unanswered."""

    offered: int = 0
    segmented: int = 0
    replayed: int = 0
    dropped: int = 0
    failed: int = 0


class Session:
    """One stream. ``memory`` is None where the engine's blank one is meant.

    ``window`` is how many frames may wait or be under way, ``budget`` the age in seconds above
    which a frame is dropped rather than segmented. ``horizon`` is the model's memory_horizon:
    that many past frames are kept, so that :meth:`lose_memory` can bring it back exactly.
    """

    def __init__(
        self,
        policy: DropPolicy = DropPolicy.LATEST,
        *,
        window: int = 8,
        budget: float | None = None,
        horizon: int | None = 0,
    ) -> None:
        self.policy = policy
        self.window = window
        self.budget = budget
        self.horizon = horizon
        self.memory: Memory | None = None
        self.counts = Counts()
        self.last_seq: int | None = None
        self.closed = False
        self.under_way: Turn | None = None
        self._waiting = TurnQueue()
        self._waiting.reset_next(ResetCause.NEW)
        self._past: deque[Frame] = deque(maxlen=horizon or 0)
        """The last frames segmented since the memory was empty, oldest first."""

    def __repr__(self) -> str:
        return (
            f"<Session {self.state.value} {self.policy.value}"
            f" waiting={self.waiting} last_seq={self.last_seq}>"
        )

    @property
    def state(self) -> SessionState:
        if self.closed:
            return SessionState.CLOSED
        if self.under_way:
            return SessionState.STEPPING
        return SessionState.WAITING if self._waiting else SessionState.IDLE

    @property
    def waiting(self) -> int:
        """Frames offered and not yet in a step."""
        return len(self._waiting)

    @property
    def unanswered(self) -> int:
        """Frames offered and so far neither segmented nor dropped nor failed."""
        return len(self._waiting) + bool(self.under_way and not self.under_way.rebuild)

    @property
    def has_room(self) -> bool:
        """Whether a frame can be offered now without loss."""
        loses = self.policy is DropPolicy.LATEST and self._waiting
        return not loses and self.unanswered < self.window

    @property
    def ready(self) -> bool:
        """Whether a step may take a frame now; a lost memory is rebuilt only for a new frame."""
        return not self.under_way and bool(self._waiting)

    @property
    def next_is_alone(self) -> bool:
        """Whether the next frame must have a step to itself."""
        return self._waiting.next_is_alone

    def offer(self, frame: Frame, now: float) -> list[Dropped]:
        """Take a frame; returns who loses for it. One beyond the window loses itself.

        Raises OutOfSequence when ``seq`` did not rise and Conflict when the session is closed;
        the frame is not taken then.
        """
        self._check(frame)
        self.last_seq = frame.seq
        self.counts.offered += 1
        drops = self._make_way(frame)
        turn = self._waiting.append(frame, now)
        if self.unanswered > self.window:
            drops += self._drop_if(lambda waiting: waiting is turn, DropCause.OVERLOAD)
        return drops

    def reset(self, cause: ResetCause = ResetCause.CLIENT) -> None:
        """Forget before the next frame offered; those that wait already keep the memory."""
        self._waiting.reset_next(cause)

    def expire(self, now: float) -> list[Dropped]:
        """Drop the waiting frames that are older than the budget; replayed ones have no age."""
        budget = self.budget
        if budget is None:
            return []
        return self._drop_if(
            lambda turn: not turn.is_silent and now - turn.frame.arrived > budget, DropCause.STALE
        )

    def take(self) -> Turn:
        """The next frame, now under way. The session must be ready."""
        assert self.ready, f"nothing to take from {self!r}"
        self.under_way = self._waiting.take()
        return self.under_way

    def finish(self, memory: Memory) -> Turn:
        """The step went well: keep its memory. Returns what was under way."""
        turn = self._end_turn()
        if turn.reset:
            self._past.clear()
        if not self.closed:
            self.memory = memory
            self._past.append(Frame(turn.frame.pixels, turn.frame.seq, replay=True))
        self.counts.segmented += not turn.is_silent
        self.counts.replayed += turn.is_silent and not turn.rebuild
        return turn

    def fail(self) -> Turn:
        """The step failed for good; the memory stays as it was. Returns what was under way."""
        turn = self._end_turn()
        if turn.rebuild:
            self._go_on_empty()
        else:
            self._waiting.reset_first(turn.reset)
            self.counts.failed += 1
        return turn

    def retry(self) -> None:
        """The step failed, perhaps by another's frame: try this one again, alone."""
        self._waiting.put_back(self._end_turn())

    def lose_memory(self) -> None:
        """The engine is gone: rebuild from the past frames, or go on with an empty memory.

        No step may be under way: it has to fail or retry first.
        """
        assert self.under_way is None, f"{self!r} is not done with its step"
        if self.horizon is None and self.memory is not None:
            self._go_on_empty()
        self._waiting.rebuild_from(self._past)
        self._past.clear()
        self.memory = None

    def close(self) -> list[Dropped]:
        """Take no more frames, drop what waits and forget. What is under way still has to end."""
        self.closed = True
        self.memory = None
        self._past.clear()
        return self._drop_if(lambda _: True, DropCause.STALE)

    def _check(self, frame: Frame) -> None:
        if self.closed:
            raise Conflict("the session is closed; open another")
        if self.last_seq is not None and frame.seq <= self.last_seq:
            raise OutOfSequence(f"seq must rise: {frame.seq} came after {self.last_seq}")

    def _make_way(self, frame: Frame) -> list[Dropped]:
        if self.policy is DropPolicy.EVERY or frame.replay:
            return []
        return self._drop_if(lambda turn: not turn.is_silent, DropCause.NEWER)

    def _drop_if(self, loses: Callable[[Turn], bool], cause: DropCause) -> list[Dropped]:
        drops = self._waiting.drop(loses, cause)
        self.counts.dropped += len(drops)
        return drops

    def _go_on_empty(self) -> None:
        """The memory cannot be brought back; the next frame says so."""
        self._waiting.stop_rebuilding()
        self._waiting.reset_first(ResetCause.ENGINE)
        self._past.clear()
        self.memory = None

    def _end_turn(self) -> Turn:
        assert self.under_way, f"no step is under way in {self!r}"
        turn, self.under_way = self.under_way, None
        return turn
