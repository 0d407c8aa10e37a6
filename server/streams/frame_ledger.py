"""What one stream's frames hold in memory, and which of them are still to be answered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.changes import Changes
from server.settings import STREAM_BYTES
from server.streams.byte_budget import ByteBudget


@dataclass(slots=True)
class _Frame:
    """Bytes of its packet or, once that is decoded, of its picture or mask."""

    packet: int = 0
    picture: int = 0
    owed: bool = False


class FrameLedger:
    """The frames of one stream from their first byte to their answer's last.

    A frame is owed an answer from :meth:`expect` until :meth:`answered`, and holds bytes in
    between: its packet until it is decoded, then its picture, at last its mask. One event loop
    uses it.

    While the budget of all streams is spent, this one continues once nothing of its own is on the
    way: so each stream always comes to its answers, and all together hold no more than the budget
    and one message and one picture each.
    """

    def __init__(self, budget: ByteBudget | None = None, limit: int = STREAM_BYTES) -> None:
        self._budget = budget or ByteBudget()
        self._limit = limit
        self._frames: dict[int, _Frame] = {}
        self._owed = self._packet_bytes = self._picture_bytes = 0
        self._closed = False
        self._changes = Changes()

    def __repr__(self) -> str:
        held = self._packet_bytes + self._picture_bytes
        return f"<FrameLedger {held} bytes, {self._owed} unanswered>"

    @property
    def unanswered(self) -> int:
        """Return how many frames were taken from the client whose answer was not sent so far."""
        return self._owed

    @property
    def is_overfull(self) -> bool:
        """Return whether pictures exceed the stream's own limit, or all streams the budget."""
        return self._picture_bytes > self._limit or self._budget.held > self._budget.limit

    def expect(self, seq: int) -> None:
        """Count a frame that was taken from the client: one answer is owed."""
        frame = self._frames.setdefault(seq, _Frame())
        self._owed += not frame.owed
        frame.owed = True

    def packet(self, seq: int, nbytes: int) -> None:
        """Count a packet that waits to be decoded."""
        self._count(seq, packet=nbytes)

    def picture(self, seq: int, nbytes: int) -> None:
        """Count this picture instead of whatever the frame held before."""
        self._count(seq, picture=nbytes)

    def free(self, seqs: Iterable[int]) -> None:
        """Count nothing for these any more; their answers are still owed. Idempotent."""
        for seq in seqs:
            self._count(seq)
        self._changes.notify()

    def answered(self, seqs: Iterable[int]) -> None:
        """Forget frames whose answer is on its way to the client. Idempotent."""
        for seq in seqs:
            self._count(seq)
            frame = self._frames.pop(seq, None)
            self._owed -= frame is not None and frame.owed
        self._changes.notify()

    def close(self) -> None:
        """Free everything, and count nothing from now on: the stream is over."""
        self.free([*self._frames])
        self._closed = True

    async def wait_to_read(self) -> None:
        """Wait while the budget is spent and anything of this stream is on the way."""
        await self._changes.until(
            lambda: not self._budget.is_spent or not (self._packet_bytes or self._picture_bytes)
        )

    async def wait_to_decode(self) -> None:
        """Wait while the budget is spent and a picture of this stream is on the way."""
        await self._changes.until(lambda: not self._budget.is_spent or not self._picture_bytes)

    async def wait_for_space(self) -> None:
        """Wait until this stream's pictures are below its own limit."""
        await self._changes.until(lambda: self._picture_bytes < self._limit)

    async def wait_for_answers(self, window: int) -> None:
        """Wait until fewer than ``window`` frames are unanswered."""
        await self._changes.until(lambda: self._owed < window)

    def _count(self, seq: int, *, packet: int = 0, picture: int = 0) -> None:
        """Let a frame hold this much, in place of what it held."""
        frame = self._frames.get(seq)
        if frame is None:
            if self._closed or not (packet or picture):
                return
            frame = self._frames[seq] = _Frame()
        if self._closed:
            packet = picture = 0
        self._packet_bytes += packet - frame.packet
        self._picture_bytes += picture - frame.picture
        self._budget.held += packet + picture - frame.packet - frame.picture
        frame.packet, frame.picture = packet, picture
        if not (packet or picture or frame.owed):
            del self._frames[seq]
