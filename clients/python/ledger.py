"""Record which frames of a stream were answered, and how. Pure: time is passed in."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass

from clients.python.pictures import Frame


@dataclass(frozen=True, slots=True)
class Sent:
    """An unanswered frame. ``at`` is when it was passed to the socket, in monotonic seconds."""

    frame: Frame
    at: float


class Ledger:
    """Keeps every sent frame until it is answered by a mask, a drop or an error, exactly once.

    ``sent``, ``masks``, ``failed`` and ``dropped`` (by cause) count frames; ``doubled`` counts
    answers to frames that were already answered, ``unknown`` answers to frames never sent.
    """

    def __init__(self) -> None:
        self._open: dict[int, Sent] = {}
        self.sent = 0
        self.masks = 0
        self.failed = 0
        self.dropped: Counter[str] = Counter()
        self.doubled = 0
        self.unknown = 0

    def __repr__(self) -> str:
        return (
            f"<Ledger sent={self.sent} masks={self.masks} dropped={self.dropped.total()} "
            f"failed={self.failed} unanswered={self.unanswered}>"
        )

    @property
    def unanswered(self) -> int:
        return len(self._open)

    @property
    def answered_once(self) -> bool:
        """Whether every frame sent so far has been answered exactly once."""
        return not (self._open or self.doubled or self.unknown)

    def send(self, frame: Frame, now: float) -> int:
        """Record a frame and return the sequence number to send it with."""
        seq = self.sent
        self._open[seq] = Sent(frame, now)
        self.sent += 1
        return seq

    def mask(self, seq: int) -> Sent | None:
        """Record a mask and return the frame it answers, None if it answers none."""
        sent = self._settle(seq)
        self.masks += sent is not None
        return sent

    def drop(self, seqs: Iterable[int], cause: str) -> None:
        """Record frames that the server dropped."""
        for seq in seqs:
            self.dropped[cause] += self._settle(seq) is not None

    def fail(self, seq: int) -> None:
        """Record a frame that was answered by an error."""
        self.failed += self._settle(seq) is not None

    def _settle(self, seq: int) -> Sent | None:
        sent = self._open.pop(seq, None)
        if sent is None:
            self.doubled += seq < self.sent
            self.unknown += seq >= self.sent
        return sent
