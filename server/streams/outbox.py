"""Outbox: the bounded queue between a session and the socket that sends its results."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from itertools import groupby

import protocol
from protocol import DropCause
from server.errors import MastreamError, TooSlow
from server.frame import Dropped, Mask
from server.sinks.base import Sink
from server.streams.byte_budget import StreamBytes

Notice = protocol.Ready | protocol.Dropped | protocol.Failure | protocol.Pong
"""A text message to a client."""

MAX_NOTICES = 1024
MAX_SEQS = 1024
"""Losses told in one message."""


class Outbox(Sink):
    """What one client is still to be sent: short notices, and at most ``capacity`` masks.

    One event loop uses it. When it is full the oldest mask goes, and is told as ``client_slow``;
    so it does where ``stream_bytes`` is overfull, but the newest stays.
    Where :attr:`keeps_all` is set no mask goes: then the caller waits for :meth:`room` and for
    the stream_bytes's space. Notices go ahead of masks; a client that lets MAX_NOTICES of them wait is
    given up: the next :meth:`take` raises TooSlow. A frame is owed an answer from :meth:`expect`
    until :meth:`sent` is called with it, so :attr:`unanswered` stays high while a client does not
    read.
    ``on_lost`` is called for every mask that is lost here.
    """

    def __init__(
        self,
        capacity: int,
        on_lost: Callable[[], None] = lambda: None,
        stream_bytes: StreamBytes | None = None,
    ) -> None:
        self.keeps_all = False
        self._capacity = capacity
        self._bytes = stream_bytes or StreamBytes()
        self._on_lost = on_lost
        self._owed: set[int] = set()
        self._masks: deque[Mask] = deque()
        self._notices: deque[Notice] = deque()
        self._closed = False
        self._discarded = False
        self._overrun = False
        self._changed = asyncio.Event()
        self._answered = asyncio.Event()

    def __repr__(self) -> str:
        state = "closed" if self._closed else "open"
        waiting = f"{len(self._masks)} masks, {len(self._notices)} notices"
        return f"<Outbox {state}: {waiting}, {self.unanswered} unanswered>"

    @property
    def unanswered(self) -> int:
        """Frames taken from the client whose answer was not sent so far."""
        return len(self._owed)

    def expect(self, seq: int) -> None:
        """A frame was taken from the client; one answer is owed."""
        self._owed.add(seq)

    def mask(self, mask: Mask) -> None:
        if self._discarded:
            return
        self._masks.append(mask)
        self._bytes.picture(mask.frame.seq, mask.nbytes)
        while self._is_overfull():
            lost = self._masks.popleft()
            self._on_lost()
            self.dropped((Dropped(lost.frame.seq, DropCause.CLIENT_SLOW),))
        self._changed.set()

    def dropped(self, drops: Sequence[Dropped]) -> None:
        for cause, group in groupby(drops, key=lambda drop: drop.cause):
            self._tell_lost(tuple(drop.seq for drop in group), cause)

    def failed(self, seq: int, error: Exception) -> None:
        self.tell(failure(error, seq))

    def tell(self, notice: Notice) -> None:
        """Queue a short message."""
        self._bytes.free(_answers(notice))
        self._overrun = self._overrun or len(self._notices) >= MAX_NOTICES
        if not self._overrun:
            self._notices.append(notice)
        self._changed.set()

    def close(self) -> None:
        """Nothing more will come; :meth:`take` gives what is left, then None."""
        self._closed = True
        self._changed.set()

    def discard(self) -> None:
        """Close, and let go of what waits and of every mask that still comes. Idempotent."""
        self._discarded = True
        self._masks.clear()
        self.close()

    async def take(self) -> Mask | Notice | None:
        """The next thing to send, or None when all is sent after :meth:`close`.

        Raises TooSlow where the client has let too much wait.
        """
        while not (self._notices or self._masks or self._closed or self._overrun):
            self._changed.clear()
            await self._changed.wait()
        if self._overrun:
            raise TooSlow("too many messages wait for a client that does not read; read faster")
        if self._notices:
            return self._notices.popleft()
        return self._masks.popleft() if self._masks else None

    def sent(self, item: Mask | Notice) -> None:
        """What :meth:`take` gave is on its way."""
        self._bytes.free(_answers(item))
        self._owed.difference_update(_answers(item))
        self._answered.set()

    async def room(self, window: int) -> None:
        """Wait until fewer than ``window`` frames are unanswered."""
        while self.unanswered >= window:
            self._answered.clear()
            await self._answered.wait()

    def _is_overfull(self) -> bool:
        if self.keeps_all or len(self._masks) <= 1:
            return False
        return len(self._masks) > self._capacity or self._bytes.is_overfull

    def _tell_lost(self, seqs: tuple[int, ...], cause: protocol.DropCause) -> None:
        """Tell a loss, in one message with the last one where nothing sets them apart."""
        match self._notices and self._notices[-1]:
            case protocol.Dropped(known, last, None) if last == cause and len(known) < MAX_SEQS:
                self._notices[-1] = protocol.Dropped(known + seqs, cause)
                self._bytes.free(seqs)
            case _:
                self.tell(protocol.Dropped(seqs, cause))


def failure(error: Exception, seq: int | None = None, fatal: bool = False) -> protocol.Failure:
    """The message that tells an error; a foreign one is told without its words."""
    if not isinstance(error, MastreamError):
        return protocol.Failure("fault", "the server failed; its log says why", 500, "", seq, fatal)
    return protocol.Failure(error.code, str(error), error.status, "", seq, fatal)


def _answers(item: Mask | Notice) -> tuple[int, ...]:
    match item:
        case Mask():
            return (item.frame.seq,)
        case protocol.Dropped():
            return item.seqs
        case protocol.Failure() if item.seq is not None:
            return (item.seq,)
        case _:
            return ()
