"""One stream's bookkeeping: its waiting frames, the frame in flight and its memory.

It decides without acting: it has no clock, device or sink. Every frame that :meth:`Session.offer`
accepts is answered exactly once: it is returned as Dropped, it finishes or it fails.
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

RENEWALS = 3
"""How many frames are decoded while one waits for a step, if the stream drops old frames."""


class SessionState(Enum):
    IDLE = "idle"
    WAITING = "waiting"
    STEPPING = "stepping"
    PARKED = "parked"
    CLOSED = "closed"


@dataclass(slots=True)
class Counts:
    """Counts of one session's frames.

    offered = segmented + replayed + dropped + failed + unanswered.
    """

    offered: int = 0
    segmented: int = 0
    replayed: int = 0
    dropped: int = 0
    failed: int = 0


class Session:
    """One stream. ``memory`` None stands for the engine's blank memory.

    ``window`` is how many frames may wait or be in flight, ``budget`` the age in seconds above
    which a frame is dropped rather than segmented. ``horizon`` is the model's memory_horizon: that
    many past frames are kept, so that the memory can be rebuilt exactly after :meth:`lose_memory`.
    A ``background`` session lets live ones go first. ``owner`` is the client that owns it:
    competing owners get equal parts.
    """

    def __init__(
        self,
        policy: DropPolicy = DropPolicy.LATEST,
        *,
        window: int = 8,
        budget: float | None = None,
        horizon: int | None = 0,
        background: bool = False,
        owner: str = "",
    ) -> None:
        self.policy = policy
        self.window = window
        self.budget = budget
        self.horizon = horizon
        self.background = background
        self.owner = owner
        self.memory: Memory | None = None
        self.counts = Counts()
        self.last_seq: int | None = None
        self.closed = False
        self.parked = False
        """Whether its socket is lost and it waits to be resumed; its frames still get steps."""
        self.in_flight: Turn | None = None
        self._waits_since = 0.0
        """When a frame began to wait; the time of a newer one in its place does not count."""
        self._last_wait = 0.0
        """How long the session had to wait for its last step, in seconds."""
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
        if self.parked:
            return SessionState.PARKED
        if self.in_flight:
            return SessionState.STEPPING
        return SessionState.WAITING if self._waiting else SessionState.IDLE

    @property
    def is_rebuilding(self) -> bool:
        """Return whether its memory was lost and is still to be rebuilt from past frames."""
        in_step = self.in_flight is not None and self.in_flight.rebuild
        return in_step or self._waiting.is_rebuilding

    @property
    def has_lost_memory(self) -> bool:
        """Return whether its memory was lost and cannot be rebuilt; the next mask reports that."""
        return self._waiting.next_reset is ResetCause.ENGINE

    @property
    def nbytes(self) -> int:
        """Return how many bytes are held by past frames that could rebuild the memory."""
        return sum(frame.nbytes for frame in self._past)

    @property
    def waiting(self) -> int:
        """Return how many offered frames are not in a step yet."""
        return len(self._waiting)

    @property
    def unanswered(self) -> int:
        """Return how many offered frames are so far neither segmented nor dropped nor failed."""
        return len(self._waiting) + bool(self.in_flight and not self.in_flight.rebuild)

    @property
    def has_room(self) -> bool:
        """Return whether a frame can be offered now without any frame being dropped."""
        loses = self.policy is DropPolicy.LATEST and self._waiting
        return not loses and self.unanswered < self.window

    @property
    def wanted_at(self) -> float:
        """Return the time from which a newer frame is worth decoding in place of the waiting one;
        0.0 if none waits.

        RENEWALS frames are decoded for each one that is segmented; more would not make it much
        fresher.
        """
        newest = self._waiting.newest
        if newest is None:
            return 0.0
        pause = self._last_wait / RENEWALS
        return newest.offered + (pause if self.budget is None else min(pause, self.budget / 2))

    @property
    def ready(self) -> bool:
        """Return whether a step may take a frame now.

        A lost memory is rebuilt only once a new frame needs it.
        """
        return not self.in_flight and bool(self._waiting)

    @property
    def next_is_alone(self) -> bool:
        """Return whether the next frame must have a step to itself."""
        return self._waiting.next_is_alone

    def offer(self, frame: Frame, now: float) -> list[Dropped]:
        """Accept a frame; return the frames that are dropped because of it.

        A frame beyond the window is dropped itself. Raises OutOfSequence if ``seq`` did not rise
        and Conflict if the session is closed; the frame is not accepted then.
        """
        self._check(frame)
        self.last_seq = frame.seq
        self.counts.offered += 1
        if not self._waiting:
            self._waits_since = now
        drops = self._drop_superseded(frame)
        turn = self._waiting.append(frame, now)
        if self.unanswered > self.window:
            drops += self._drop_if(lambda waiting: waiting is turn, DropCause.OVERLOAD)
        return drops

    def reset(self, cause: ResetCause = ResetCause.CLIENT) -> None:
        """Empty the memory before the next frame offered; waiting frames still use it."""
        self._waiting.reset_next(cause)

    def expire(self, now: float) -> list[Dropped]:
        """Drop the waiting frames that are older than the budget; replayed frames are exempt."""
        budget = self.budget
        if budget is None:
            return []
        return self._drop_if(
            lambda turn: not turn.is_silent and now - turn.frame.arrived > budget, DropCause.STALE
        )

    def take(self, now: float) -> Turn:
        """Return the next frame, which is in flight from now on. The session must be ready."""
        assert self.ready, f"nothing to take from {self!r}"
        self._last_wait, self._waits_since = now - self._waits_since, now
        self.in_flight = self._waiting.take()
        return self.in_flight

    def finish(self, memory: Memory) -> Turn:
        """Keep the memory of a successful step; return the turn that was in flight."""
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
        """Record that a step has failed for good; return the turn that was in flight.

        The memory stays as it was, unless the turn was rebuilding it: then it is empty.
        """
        turn = self._end_turn()
        if turn.rebuild:
            self._abandon_memory()
        else:
            self._waiting.reset_first(turn.reset)
            self.counts.failed += 1
        return turn

    def retry(self) -> None:
        """Queue the frame in flight again, alone: another stream's frame may have failed it."""
        self._waiting.put_back(self._end_turn())

    def lose_memory(self) -> None:
        """Rebuild from the past frames, or continue with an empty memory: the engine is gone.

        No step may be in flight: it has to fail or be retried first.
        """
        assert self.in_flight is None, f"{self!r} is not done with its step"
        if self.horizon is None and self.memory is not None:
            self._abandon_memory()
        self._waiting.rebuild_from(self._past)
        self._past.clear()
        self.memory = None

    def close(self) -> list[Dropped]:
        """Accept no more frames, drop those that wait and forget the memory.

        A frame in flight still has to finish or fail.
        """
        self.closed = True
        self.memory = None
        self._past.clear()
        return self._drop_if(lambda _: True, DropCause.STALE)

    def _check(self, frame: Frame) -> None:
        if self.closed:
            raise Conflict("The session is closed; open another.")
        if self.last_seq is not None and frame.seq <= self.last_seq:
            raise OutOfSequence(
                f"seq must rise, but {frame.seq} came after {self.last_seq}; number frames upwards."
            )

    def _drop_superseded(self, frame: Frame) -> list[Dropped]:
        if self.policy is DropPolicy.EVERY or frame.replay:
            return []
        return self._drop_if(lambda turn: not turn.is_silent, DropCause.NEWER)

    def _drop_if(self, loses: Callable[[Turn], bool], cause: DropCause) -> list[Dropped]:
        drops = self._waiting.drop(loses, cause)
        self.counts.dropped += len(drops)
        return drops

    def _abandon_memory(self) -> None:
        """Continue with an empty memory, since it cannot be rebuilt; the next mask reports that."""
        self._waiting.stop_rebuilding()
        self._waiting.reset_first(ResetCause.ENGINE)
        self._past.clear()
        self.memory = None

    def _end_turn(self) -> Turn:
        assert self.in_flight, f"no step is in flight in {self!r}"
        turn, self.in_flight = self.in_flight, None
        return turn
