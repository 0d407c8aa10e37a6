"""The masks of one pulled stream as its viewers want them: each encoded once per form."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass

import protocol
from models.spec import ModelSpec
from server.frame import Mask, host_pixels
from server.sinks.overlay import encode_jpeg, overlay, palette, resize_labels, with_note
from server.streams.mask_packer import MaskPacker
from server.threads import PicturePool

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
