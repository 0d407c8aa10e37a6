"""The masks of one pulled stream for any number of viewers."""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence

from server.changes import Changes
from server.frame import Dropped, Mask
from server.sinks.base import Sink
from server.streams.byte_budget import ByteBudget
from server.streams.frame_ledger import FrameLedger
from server.streams.outbox import Outbox

VIEWER_MASKS = 2
"""Maximum masks that wait for one viewer: enough to keep it busy, too few to be old."""

UNSENT = 8
"""Maximum masks that wait until they may be sent: more than a stream makes from the frames that it
holds."""

ASK_SECONDS = 0.05
"""Seconds between checks of a stream that may not send; soon it may, or it ends."""


class Viewers(Sink):
    """Puts every mask into every viewer's outbox; a slow viewer loses only its own masks.

    ``on_mask`` is called for each mask first, ``on_loss`` for each frame without one. The masks
    themselves are shared, so a viewer's ledger counts against its own budget. ``is_leaving`` means
    that the stream ended because the server stops or another has taken it over, and may be back
    soon. While ``may_send`` is false, masks wait, since another server may send its own; they are
    lost if the stream ends.
    """

    def __init__(
        self,
        on_mask: Callable[[Mask], None] = lambda _: None,
        on_loss: Callable[[str], None] = lambda _: None,
        may_send: Callable[[], bool] = lambda: True,
    ) -> None:
        self.newest: Mask | None = None
        self.lost = 0
        """Masks that slow viewers have lost."""
        self.changes = Changes()
        self.is_leaving = False
        self._closed = False
        self._on_mask = on_mask
        self._on_loss = on_loss
        self._may_send = may_send
        self._unsent = deque[Mask]()
        self._outboxes: set[Outbox] = set()

    def __len__(self) -> int:
        return len(self._outboxes)

    def __repr__(self) -> str:
        return f"<Viewers {len(self)}>"

    def join(self, on_lost: Callable[[], None] = lambda: None) -> Outbox:
        """Return the outbox of a new viewer, which already contains the newest mask, or the end if
        the stream has ended."""

        def count_lost() -> None:
            self.lost += 1
            on_lost()

        outbox = Outbox(VIEWER_MASKS, count_lost, FrameLedger(ByteBudget()))
        self._outboxes.add(outbox)
        if self.newest is not None:
            outbox.mask(self.newest)
        if self._closed:
            outbox.close()
        return outbox

    def leave(self, outbox: Outbox) -> None:
        """Forget a viewer. Idempotent."""
        self._outboxes.discard(outbox)
        outbox.discard()
        self.changes.notify()

    async def all_left(self) -> None:
        """Wait until no viewer is left."""
        await self.changes.until(lambda: not self._outboxes)

    async def next_after(self, seq: int | None) -> Mask | None:
        """Wait for a mask other than that of ``seq`` and return the newest; None if the stream has
        ended."""
        await self.changes.until(lambda: self._closed or self._newest_seq() not in (None, seq))
        return None if self._closed else self.newest

    def age(self, now: float) -> float | None:
        """Return the seconds since the picture of the newest mask arrived, None if there is none.

        ``now`` is of the frames' clock.
        """
        return None if self.newest is None else max(0.0, now - self.newest.frame.arrived)

    def close(self) -> None:
        """End every viewer, since the stream has ended."""
        self._closed = True
        self._lose_unsent(beyond=0)
        self.newest = None
        self.changes.notify()
        for outbox in self._outboxes:
            outbox.close()

    def mask(self, mask: Mask) -> None:
        self._unsent.append(mask)
        self._send()
        self._lose_unsent(beyond=0 if self._closed else UNSENT)

    async def wait_to_send(self) -> None:
        """Wait until masks may be sent, and send those that wait: until then the stream had better
        make no more."""
        while not self._may_send():  # noqa: ASYNC110  a lease ends without an event
            await asyncio.sleep(ASK_SECONDS)
        self._send()

    def _send(self) -> None:
        while self._unsent and self._may_send():
            self._send_one(self._unsent.popleft())

    def _lose_unsent(self, beyond: int) -> None:
        """Drop the oldest waiting masks beyond the maximum."""
        while len(self._unsent) > beyond:
            self._unsent.popleft()
            self._on_loss("moved")

    def _send_one(self, mask: Mask) -> None:
        self.newest = mask
        self._on_mask(mask)
        for outbox in self._outboxes:
            outbox.mask(mask)
        self.changes.notify()

    def _newest_seq(self) -> int | None:
        return None if self.newest is None else self.newest.frame.seq

    def dropped(self, drops: Sequence[Dropped]) -> None:
        for drop in drops:
            self._on_loss(str(drop.cause))

    def failed(self, seq: int, error: Exception) -> None:  # noqa: ARG002
        self._on_loss("failed")
