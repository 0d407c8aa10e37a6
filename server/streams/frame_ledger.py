"""How many bytes one stream's frames hold, and which of them are still unanswered."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from server.changes import Changes
from server.settings import STREAM_BYTES
from server.streams.byte_budget import ByteBudget


@dataclass(slots=True)
class _Frame:
    """The bytes of a frame's packet or, once that is decoded, of its picture or mask."""

    packet: int = 0
    picture: int = 0
    owed: bool = False


class FrameLedger:
    """The frames of one stream, from their arrival until their answers are sent.

    A frame is unanswered from :meth:`expect` until :meth:`answered`. It holds the bytes of its
    packet until that is decoded, then those of its picture, and finally those of its mask. One
    event loop uses it.

    While the budget of all streams is spent, a stream may continue only if it holds nothing itself.
    So each stream always makes progress, and all together hold at most the budget plus one message
    and one picture each.
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
        """Return how many of the frames taken from the client have not been answered yet."""
        return self._owed

    @property
    def is_overfull(self) -> bool:
        """Return whether the pictures exceed the stream's own limit, or all streams the budget."""
        return self._picture_bytes > self._limit or self._budget.is_exceeded

    def expect(self, seq: int) -> None:
        """Count a frame that was taken from the client and needs an answer."""
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
        """Count no more bytes for these frames; they still need their answers. Idempotent."""
        for seq in seqs:
            self._count(seq)
        self._changes.notify()

    def answered(self, seqs: Iterable[int]) -> None:
        """Forget frames whose answer has been sent. Idempotent."""
        for seq in seqs:
            self._count(seq)
            frame = self._frames.pop(seq, None)
            self._owed -= frame is not None and frame.owed
        self._changes.notify()

    def close(self) -> None:
        """Free everything, and count no bytes from now on: the stream has ended."""
        self.free([*self._frames])
        self._closed = True

    async def wait_to_read(self) -> None:
        """Wait while the budget is spent and this stream holds any bytes."""
        await self._changes.until(
            lambda: not self._budget.is_spent or not (self._packet_bytes or self._picture_bytes)
        )

    async def wait_to_decode(self) -> None:
        """Wait while the budget is spent and this stream holds any picture."""
        await self._changes.until(lambda: not self._budget.is_spent or not self._picture_bytes)

    async def wait_for_space(self) -> None:
        """Wait until this stream's pictures are below its own limit."""
        await self._changes.until(lambda: self._picture_bytes < self._limit)

    async def wait_for_answers(self, window: int) -> None:
        """Wait until fewer than ``window`` frames are unanswered."""
        await self._changes.until(lambda: self._owed < window)

    def _count(self, seq: int, *, packet: int = 0, picture: int = 0) -> None:
        """Count these bytes for a frame instead of those that it held before."""
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
