"""Outbox: the bounded queue between a session and the socket that sends its results."""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import groupby

import protocol
from protocol import DropCause
from server.changes import Changes
from server.errors import MastreamError, TooSlow
from server.frame import Dropped, Mask
from server.sinks.base import Sink
from server.streams.frame_ledger import FrameLedger

Notice = protocol.Ready | protocol.Dropped | protocol.Failure | protocol.Pong
"""A text message to a client."""


@dataclass(frozen=True, slots=True, eq=False)
class Packed:
    """The message of a mask that was packed for an earlier socket of its session."""

    seq: int
    data: bytes

    @property
    def nbytes(self) -> int:
        return len(self.data)


Answer = Mask | Packed | Notice

MAX_NOTICES = 1024
MAX_SEQS = 1024
"""Maximum number of frames reported as dropped in one message."""


class Outbox(Sink):
    """The messages that wait to be sent to one client: notices, and at most ``capacity`` masks.

    One event loop uses it. If it is full, or if the ledger's bytes exceed their limits, the oldest
    mask is dropped and reported as ``client_slow``; the newest is always kept. With
    :attr:`keeps_all` nothing is dropped: the caller must wait for the ledger's space. Notices are
    sent before masks; once more than MAX_NOTICES of them wait, :meth:`take` raises TooSlow. The
    ledger counts a frame as answered once :meth:`sent` is called with its answer, so it stays
    unanswered while a client does not read.

    ``on_lost`` is called for every mask that is dropped here.
    """

    def __init__(
        self,
        capacity: int,
        on_lost: Callable[[], None] = lambda: None,
        ledger: FrameLedger | None = None,
    ) -> None:
        self.keeps_all = False
        self._capacity = capacity
        self._ledger = ledger or FrameLedger()
        self._on_lost = on_lost
        self._masks: deque[Mask | Packed] = deque()
        self._notices: deque[Notice] = deque()
        self._taken: Answer | None = None
        """The message that was taken and is not sent yet."""
        self._closed = False
        self._discarded = False
        self._overrun = False
        self._changes = Changes()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        waiting = f"{len(self._masks)} masks, {len(self._notices)} notices"
        return f"<Outbox {state}: {waiting}>"

    def mask(self, mask: Mask) -> None:
        self._put_mask(mask)

    def dropped(self, drops: Sequence[Dropped]) -> None:
        for cause, group in groupby(drops, key=lambda drop: drop.cause):
            self._notice_lost(tuple(drop.seq for drop in group), cause)

    def failed(self, seq: int, error: Exception) -> None:
        self.notice(failure(error, seq))

    def put(self, answer: Answer) -> None:
        """Queue any answer."""
        if isinstance(answer, Mask | Packed):
            self._put_mask(answer)
        else:
            self.notice(answer)

    def notice(self, notice: Notice) -> None:
        """Queue a text message."""
        self._ledger.free(_answers(notice))
        self._overrun = self._overrun or len(self._notices) >= MAX_NOTICES
        if not self._overrun:
            self._notices.append(notice)
        self._changes.notify()

    def close(self) -> None:
        """End the queue: :meth:`take` returns what is left, then None."""
        self._closed = True
        self._changes.notify()

    def discard(self) -> None:
        """Close, and release the waiting masks and all later ones. Idempotent."""
        self._discarded = True
        self._masks.clear()
        self._taken = None
        self.close()

    def unsent(self) -> list[Answer]:
        """Return the messages that were not sent, including the one that was taken last."""
        taken = [] if self._taken is None else [self._taken]
        return [*taken, *self._masks, *self._notices]

    async def take(self) -> Answer | None:
        """Return the next message, or None when all are taken after :meth:`close`.

        Raises TooSlow if too many notices wait.
        """
        await self._changes.until(self._has_something)
        if self._overrun:
            raise TooSlow("Too many messages wait for a client that does not read; read faster.")
        waiting: deque[Notice] | deque[Mask | Packed] = self._notices or self._masks
        self._taken = waiting.popleft() if waiting else None
        return self._taken

    def sent(self, item: Answer) -> None:
        """Record that a message that :meth:`take` returned was sent."""
        self._taken = None
        self._ledger.answered(_answers(item))

    def _put_mask(self, mask: Mask | Packed) -> None:
        if self._discarded:
            return
        self._masks.append(mask)
        self._ledger.picture(_answers(mask)[0], mask.nbytes)
        while self._is_overfull():
            lost = self._masks.popleft()
            self._on_lost()
            self.dropped((Dropped(_answers(lost)[0], DropCause.CLIENT_SLOW),))
        self._changes.notify()

    def _has_something(self) -> bool:
        return bool(self._notices or self._masks or self._closed or self._overrun)

    def _is_overfull(self) -> bool:
        if self.keeps_all or len(self._masks) <= 1:
            return False
        return len(self._masks) > self._capacity or self._ledger.is_overfull

    def _notice_lost(self, seqs: tuple[int, ...], cause: protocol.DropCause) -> None:
        """Report dropped frames, in one message with the last report if the cause is the same."""
        match self._notices and self._notices[-1]:
            case protocol.Dropped(known, last, None) if last == cause and len(known) < MAX_SEQS:
                self._notices[-1] = protocol.Dropped(known + seqs, cause)
                self._ledger.free(seqs)
            case _:
                self.notice(protocol.Dropped(seqs, cause))


def failure(error: Exception, seq: int | None = None, fatal: bool = False) -> protocol.Failure:
    """Return the message that reports an error; a foreign error's text is not disclosed."""
    if not isinstance(error, MastreamError):
        words = "The server failed; its log says why."
        return protocol.Failure("fault", words, 500, "", seq, fatal)
    return protocol.Failure(error.code, str(error), error.status, "", seq, fatal)


def _answers(item: Answer) -> tuple[int, ...]:
    match item:
        case Mask():
            return (item.frame.seq,)
        case Packed():
            return (item.seq,)
        case protocol.Dropped():
            return item.seqs
        case protocol.Failure() if item.seq is not None:
            return (item.seq,)
        case _:
            return ()
