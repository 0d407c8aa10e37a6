"""The frames of one stream that wait for a step, and the resets between them.

A reset applies to the next frame that is segmented: if its own frame is dropped or fails, the
following frame inherits it, or the next one offered.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace

from protocol import DropCause
from server.frame import Dropped, Frame, ResetCause


@dataclass(frozen=True, slots=True, eq=False)
class Turn:
    """One frame that waits for its step, or is in it.

    ``offered`` is the time at which it was offered, ``reset`` the reason why the memory is emptied
    before it. ``alone`` marks a frame whose step failed: it is tried once more, in a separate step.
    ``rebuild`` marks a past frame that only rebuilds a lost memory: it has no answer.
    """

    frame: Frame
    offered: float = 0.0
    reset: ResetCause | None = None
    alone: bool = False
    rebuild: bool = False

    @property
    def is_silent(self) -> bool:
        """Return whether it updates the memory without producing a mask."""
        return self.rebuild or self.frame.replay


class TurnQueue:
    """The turns of one stream; those that rebuild a lost memory come first.

    Its length counts only the frames offered.
    """

    def __init__(self) -> None:
        self._rebuilding: deque[Turn] = deque()
        self._offered: deque[Turn] = deque()
        self._reset_next: ResetCause | None = None
        """The reset of the next frame offered."""

    def __len__(self) -> int:
        return len(self._offered)

    @property
    def newest(self) -> Turn | None:
        """Return the turn of the frame offered last, if it still waits."""
        return self._offered[-1] if self._offered else None

    @property
    def next_is_alone(self) -> bool:
        """Return whether the next turn must have a step to itself."""
        first = self._rebuilding or self._offered
        return bool(first) and first[0].alone

    @property
    def is_rebuilding(self) -> bool:
        """Return whether past frames wait to rebuild a lost memory."""
        return bool(self._rebuilding)

    @property
    def next_reset(self) -> ResetCause | None:
        """Return why the memory is emptied before the next frame offered, if it is."""
        return self._offered[0].reset if self._offered else self._reset_next

    def append(self, frame: Frame, now: float) -> Turn:
        """Add a frame that is offered now."""
        requested = ResetCause.CLIENT if frame.reset else None
        turn = Turn(frame, now, _both(self._reset_next, requested))
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
        """Remove the offered frames that ``loses`` selects; return them as drops."""
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
        """Empty the memory before the next frame offered."""
        self._reset_next = _both(self._reset_next, cause)

    def reset_first(self, cause: ResetCause | None) -> None:
        """Empty the memory before the next offered frame, whether it waits already or not."""
        if not self._offered:
            self._reset_next = _both(cause, self._reset_next)
            return
        first = self._offered.popleft()
        self._offered.appendleft(replace(first, reset=_both(cause, first.reset)))

    def rebuild_from(self, past: Iterable[Frame]) -> None:
        """Put these frames, in this order, before all others."""
        self._rebuilding.extendleft(Turn(frame, rebuild=True) for frame in reversed([*past]))

    def stop_rebuilding(self) -> None:
        """Forget the frames that would rebuild the memory."""
        self._rebuilding.clear()


def _both(earlier: ResetCause | None, later: ResetCause | None) -> ResetCause | None:
    """Return one cause for two resets in a row: ``MOVED`` prevails, then ``NEW``, otherwise the
    later one."""
    for first in (ResetCause.MOVED, ResetCause.NEW):
        if first in (earlier, later):
            return first
    return later or earlier
