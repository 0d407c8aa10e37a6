"""The answers to one session's frames, which outlive the socket for which they were made."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import protocol
from protocol import DropCause
from server.frame import Dropped, Mask
from server.sinks.base import Sink
from server.streams.byte_budget import ByteBudget
from server.streams.outbox import Answer, Outbox, Packed, failure


class AnswerLog(Sink):
    """Stands between a session and the outbox of the socket that has it.

    It keeps the last ``most`` answers, sent or not. If the socket is lost, the client sends the
    frames without an answer again on the next one, and :meth:`again` answers them without another
    step. A client with at most ``most`` unanswered frames lacks no other answers. Kept answers hold
    at most ``limit`` bytes, and those of all streams at most ``budget``; the oldest are dropped
    first.

    ``processed`` is the seq of the last frame that was offered to the session or refused, -1 if
    there is none. One event loop uses it.
    """

    def __init__(self, most: int, limit: int, budget: ByteBudget) -> None:
        self.processed = -1
        self._most = most
        self._limit = limit
        self._budget = budget
        self._outbox: Outbox | None = None
        self._kept: dict[int, Answer] = {}
        self._nbytes = 0
        self._pending: set[int] = set()
        """The frames in the session whose answers are sent to the outbox."""
        self._orphans: set[int] = set()
        """The frames in the session that arrived on a lost socket and were not sent again."""

    def __repr__(self) -> str:
        state = "detached" if self._outbox is None else "attached"
        return f"<AnswerLog {state} processed={self.processed} {len(self._kept)} kept>"

    @property
    def nbytes(self) -> int:
        """Return the approximate number of bytes that the kept answers hold."""
        return self._nbytes

    def attach(self, outbox: Outbox) -> None:
        """Send future answers to this outbox."""
        self._outbox = outbox

    def detach(self) -> None:
        """Keep the unsent answers of the outbox, and all future ones: the socket is lost."""
        outbox, self._outbox = self._outbox, None
        for answer in outbox.unsent() if outbox else ():
            self.keep(answer)
        self._orphans |= self._pending
        self._pending.clear()

    def offered(self, seq: int) -> None:
        """Record a frame that is offered to the session and will be answered."""
        self.processed = seq
        self._pending.add(seq)

    def passed(self, seq: int) -> None:
        """Record a frame that was refused, or that is only replayed."""
        self.processed = seq

    def again(self, seq: int) -> None:
        """Answer a frame that was processed before its socket was lost."""
        assert self._outbox, "a frame came without a socket"
        if seq in self._orphans:
            self._orphans.discard(seq)
            self._pending.add(seq)
        else:
            self._outbox.put(self._kept.get(seq, _forgotten(seq)))

    def keep(self, answer: Answer) -> None:
        """Keep an answer until newer ones replace it; call this before it is sent."""
        for seq, part in _parts(answer):
            if seq not in self._kept and self._most:
                self._kept[seq] = part
                self._count(part.nbytes if isinstance(part, Mask | Packed) else 0)
        while self._is_overfull():
            self._forget(next(iter(self._kept)))

    def close(self) -> None:
        """Forget everything. Idempotent."""
        self._outbox = None
        self._most = 0
        for seq in [*self._kept]:
            self._forget(seq)

    def mask(self, mask: Mask) -> None:
        self._answer(mask)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        if self._outbox and self._orphans.isdisjoint(drop.seq for drop in drops):
            self._pending.difference_update(drop.seq for drop in drops)
            self._outbox.dropped(drops)
            return
        for drop in drops:
            self._answer(protocol.Dropped((drop.seq,), drop.cause))

    def failed(self, seq: int, error: Exception) -> None:
        self._answer(failure(error, seq))

    def _answer(self, answer: Answer) -> None:
        """Send an answer to a frame of this socket; keep an answer to a frame of an earlier one."""
        for seq, part in _parts(answer):
            if self._outbox and seq not in self._orphans:
                self._outbox.put(part)
            else:
                self.keep(part)
            self._pending.discard(seq)
            self._orphans.discard(seq)

    def _is_overfull(self) -> bool:
        over = self._nbytes > self._limit or (self._nbytes and self._budget.is_spent)
        return len(self._kept) > self._most or bool(over)

    def _forget(self, seq: int) -> None:
        part = self._kept.pop(seq)
        self._count(-part.nbytes if isinstance(part, Mask | Packed) else 0)

    def _count(self, nbytes: int) -> None:
        self._nbytes += nbytes
        self._budget.held += nbytes


def _parts(answer: Answer) -> Iterable[tuple[int, Answer]]:
    """Return the frames that a message answers, each with its own answer."""
    match answer:
        case Mask():
            return ((answer.frame.seq, answer),)
        case Packed():
            return ((answer.seq, answer),)
        case protocol.Dropped():
            return ((s, protocol.Dropped((s,), answer.cause, answer.detail)) for s in answer.seqs)
        case protocol.Failure() if answer.seq is not None:
            return ((answer.seq, answer),)
        case _:
            return ()


def _forgotten(seq: int) -> protocol.Dropped:
    return protocol.Dropped((seq,), DropCause.CLIENT_SLOW)
