"""The masks of one pulled stream for any number of viewers: one step, one encode per form."""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import protocol
from models.spec import ModelSpec
from server.changes import Changes
from server.frame import Dropped, Mask, host_pixels
from server.sinks.base import Sink
from server.sinks.overlay import encode_jpeg, overlay, palette, resize_labels, with_note
from server.streams.byte_budget import ByteBudget
from server.streams.frame_ledger import FrameLedger
from server.streams.mask_packer import MaskPacker
from server.streams.outbox import Outbox
from server.threads import PicturePool

VIEWER_MASKS = 2
"""Maximum masks that wait for one viewer: enough to keep it busy, too few to be old."""

UNSENT = 8
"""Maximum masks that wait until they may be sent: more than a stream makes from the frames that it
holds."""

ASK_SECONDS = 0.05
"""Seconds between checks of a stream that may not send; soon it may, or it ends."""

RENDITIONS = 16
"""Number of recent renditions that are kept for viewers that have yet to send them."""

PAINT_SECONDS = 5e-3
"""Approximate seconds for painting a picture and encoding it."""


@dataclass(frozen=True, slots=True)
class PictureForm:
    """How a picture is painted: whether the mask is drawn over it, with which opacity (0..1), and
    with which note below."""

    overlay: bool = True
    opacity: float = 0.5
    note: str = ""


Form = protocol.Open | PictureForm


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
        """Lose the oldest of the masks that wait, beyond so many."""
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


class Renditions:
    """The renditions of a stream's masks for viewers, each made once for any number of them.

    A rendition is identified by its mask and its ``form``: a message in one output form, or an
    overlay picture.
    """

    def __init__(self, pool: PicturePool, spec: ModelSpec) -> None:
        self._pool = pool
        self._spec = spec
        self._palette = palette(spec.classes)
        self._made: OrderedDict[tuple[int, Form], asyncio.Task[bytes]] = OrderedDict()

    async def message(self, mask: Mask, form: protocol.Open) -> bytes:
        """Return the binary message of a mask in this form."""
        making = self._made.get((mask.frame.seq, form)) or self._pack(mask, form)
        return await _result(making)

    async def picture(self, mask: Mask, form: PictureForm) -> bytes:
        """Return the picture of a mask, painted with it or not, as JPEG."""
        making = self._made.get((mask.frame.seq, form)) or self._make(
            mask, form, PAINT_SECONDS, lambda: self._paint(mask, form)
        )
        return await _result(making)

    def _pack(self, mask: Mask, form: protocol.Open) -> asyncio.Task[bytes]:
        packer = MaskPacker(self._spec, form)
        return self._make(mask, form, packer.cost(mask), lambda: packer.pack(mask))

    def _make(
        self, mask: Mask, form: Form, cost: float, make: Callable[[], bytes]
    ) -> asyncio.Task[bytes]:
        making = asyncio.create_task(self._pool.run(cost, make))
        self._made[mask.frame.seq, form] = making
        while len(self._made) > RENDITIONS:
            self._made.popitem(last=False)
        return making

    def _paint(self, mask: Mask, form: PictureForm) -> bytes:
        whole = mask.frame.original
        picture = host_pixels(mask.frame.pixels) if whole is None else whole
        if form.overlay:
            labels = resize_labels(mask.labels, picture.shape[0], picture.shape[1])
            picture = overlay(picture, labels, self._palette, form.opacity)
        return encode_jpeg(with_note(picture, form.note) if form.note else picture)


async def _result(making: asyncio.Task[bytes]) -> bytes:
    """Wait for a rendition that is being made; a viewer that leaves meanwhile does not cancel it
    for the others."""
    return making.result() if making.done() else await asyncio.shield(making)


def form_of(wish: protocol.Open) -> protocol.Open:
    """Return the fields of a viewer's ``open`` that decide its messages; the others are the
    stream's."""
    return protocol.Open(
        output=wish.output, size=wish.size, overlay=wish.overlay, opacity=wish.opacity
    )
