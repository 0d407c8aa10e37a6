"""The frames of one stream that wait for a step, and the resets between them.

A reset belongs to the next frame that is segmented: where its own frame is dropped or fails, it
goes on to the frame that follows, or to the next one offered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from protocol import DropCause
from server.frame import Dropped, Frame, ResetCause


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One frame waiting for its step, or in it.

    ``offered`` is the time it was offered, ``reset`` why the memory is emptied before it.
    ``alone`` marks one whose step failed: it is tried once more, by itself. ``rebuild`` marks
    a frame of the past that only brings back a lost memory: nobody awaits its answer.
    """

    frame: Frame
    offered: float = 0.0
    reset: ResetCause | None = None
    alone: bool = False
    rebuild: bool = False

    @property
    def is_silent(self) -> bool:
        """Whether it feeds the memory and gives no mask."""
        return self.rebuild or self.frame.replay


class TurnQueue:
    """The turns of one stream, those that rebuild a lost memory first. Its length counts the
    frames offered only."""

    def __init__(self) -> None:
        self._rebuilding: deque[Turn] = deque()
        self._offered: deque[Turn] = deque()
        self._reset_next: ResetCause | None = None
        """For the next frame offered."""

    def __len__(self) -> int:
        return len(self._offered)

    @property
    def next_is_alone(self) -> bool:
        """Return whether the next turn must have a step to itself."""
        first = self._rebuilding or self._offered
        return bool(first) and first[0].alone

    def append(self, frame: Frame, now: float) -> Turn:
        """Add a frame that is offered now."""
        asked = ResetCause.CLIENT if frame.reset else None
        turn = Turn(frame, now, _both(self._reset_next, asked))
        self._reset_next = None
        self._offered.append(turn)
        return turn

    def take(self) -> Turn:
        """Remove and return the next turn."""
        return (self._rebuilding or self._offered).popleft()

    def put_back(self, turn: Turn) -> None:
        """Make a turn the next one again, and alone."""
        first = self._rebuilding if turn.rebuild else self._offered
        first.appendleft(replace(turn, alone=True))

    def drop(self, loses: Callable[[Turn], bool], cause: DropCause) -> list[Dropped]:
        """Take out the offered frames that lose."""
        kept: deque[Turn] = deque()
        drops: list[Dropped] = []
        reset = None
        for turn in self._offered:
            reset = _both(reset, turn.reset)
            if loses(turn):
                drops.append(Dropped(turn.frame.seq, cause))
                continue
            kept.append(replace(turn, reset=reset))
            reset = None
        self._offered = kept
        self._reset_next = _both(reset, self._reset_next)
        return drops

    def reset_next(self, cause: ResetCause | None) -> None:
        """Reset before the next frame offered."""
        self._reset_next = _both(self._reset_next, cause)

    def reset_first(self, cause: ResetCause | None) -> None:
        """Reset before the first offered frame that comes next, waiting already or not."""
        if not self._offered:
            self._reset_next = _both(cause, self._reset_next)
            return
        first = self._offered.popleft()
        self._offered.appendleft(replace(first, reset=_both(cause, first.reset)))

    def rebuild_from(self, past: Iterable[Frame]) -> None:
        """Take these frames, in this order, before everything else."""
        self._rebuilding.extendleft(Turn(frame, rebuild=True) for frame in reversed([*past]))

    def stop_rebuilding(self) -> None:
        """Forget the frames that would rebuild the memory."""
        self._rebuilding.clear()


def _both(earlier: ResetCause | None, later: ResetCause | None) -> ResetCause | None:
    """One cause for two resets in a row: that a stream is new stays, else the later tells."""
    return earlier if earlier is ResetCause.NEW else later or earlier
