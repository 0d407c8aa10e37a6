"""The frames that a stream must send again after its connection was lost. Pure."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable

from protocol import DropCause, FrameHeader, pack


class Backlog:
    """Keeps the frames without an answer, and the last ``horizon`` frames in the memory.

    The first number at most a window, so both are bounded. A ``horizon`` of None (unbounded) keeps
    no past frames: then a lost memory cannot be rebuilt.
    """

    def __init__(self, horizon: int | None) -> None:
        self._horizon = horizon
        self._waiting: dict[int, tuple[FrameHeader, bytes]] = {}
        self._past: deque[tuple[FrameHeader, bytes]] = deque(maxlen=horizon or 0)
        self._carried = False
        """Whether the next frame added inherits the reset of a frame that was dropped."""

    def __repr__(self) -> str:
        return f"<Backlog {len(self._waiting)} waiting, {len(self._past)} past>"

    @property
    def can_rebuild(self) -> bool:
        """Return whether a replay gives the memory that an unbroken stream would have."""
        return self._horizon is not None

    def add(self, header: FrameHeader, data: bytes) -> FrameHeader:
        """Keep a frame that is about to be sent, and return its header, which has a seq: with the
        reset of a dropped frame before it, if there was one."""
        if self._carried:
            header, self._carried = _reset(header), False
        assert header.seq is not None, "a frame without a number"
        self._waiting[header.seq] = header, data
        return header

    def mask(self, seq: int, reset: bool) -> None:
        """Record a mask; ``reset``: the memory was empty before its frame."""
        kept = self._waiting.pop(seq, None)
        if reset:
            self._past.clear()
        if kept:
            self._past.append(kept)

    def drop(self, seqs: Iterable[int], cause: str) -> None:
        """Record frames that were dropped: the memory has them only if their masks were lost."""
        for seq in seqs:
            if cause == DropCause.CLIENT_SLOW:
                header, _ = self._waiting.get(seq, (None, b""))
                self.mask(seq, header is not None and header.reset)
            else:
                self.fail(seq)

    def fail(self, seq: int) -> None:
        """Record a frame that did not reach the memory; the next one inherits its reset."""
        header, _ = self._waiting.pop(seq, (None, b""))
        if header is None or not header.reset:
            return
        after = next((other for other in self._waiting if other > seq), None)
        if after is None:
            self._carried = True
        else:
            kept, data = self._waiting[after]
            self._waiting[after] = _reset(kept), data

    def unanswered(self) -> list[bytes]:
        """Return the messages of the frames without an answer, in order."""
        return [pack(header, data) for header, data in self._waiting.values()]

    def replay(self) -> list[bytes]:
        """Return the messages that rebuild the memory as it was before the first unanswered
        frame."""
        first = next(iter(self._waiting), None)
        return [
            pack(FrameHeader(header.seq, header.pts, replay=True), data)
            for header, data in self._past
            if first is None or (header.seq or 0) < first
        ]


def _reset(header: FrameHeader) -> FrameHeader:
    return FrameHeader(header.seq, header.pts, reset=True)
